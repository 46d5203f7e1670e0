import { expect } from "vitest";
import { daemonState, k8s } from "../../expect-node.ts";
import { scanHost } from "../../hosts/scan.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";

export interface Attempt {
  readonly stderr: string;
  readonly seconds: number;
}

/** A bootstrap that must fail: it prints a reason and no result. */
export async function failedBootstrap(host: Host, config?: string, timeout = "120s"): Promise<Attempt> {
  const began = Date.now();
  const file = config === undefined ? [] : ["--file", "-"];
  const { exitCode, stdout, stderr } = await k8s(
    host,
    ["bootstrap", "--address", host.address, "--timeout", timeout, ...file],
    config === undefined ? {} : { stdin: config },
  );
  const seconds = (Date.now() - began) / 1_000;
  expect(stdout).toBe("");
  expect(exitCode).toBe(1);
  expect(stderr).toContain("Error: Failed to bootstrap the cluster.");
  return { stderr, seconds };
}

/** The host is as it was, and the node says that it belongs to no cluster. */
export async function expectClean(host: Host, before: HostSnapshot): Promise<void> {
  const { stderr } = await k8s(host, ["local-node-status"]);
  expect(stderr).toContain("not part of a Kubernetes cluster");
  const left = (await scanHost(host, before)).filter((line) => !daemonState.test(line));
  expect(left).toEqual([]);
}
