import { expect } from "vitest";
import type { Host } from "./hosts/types.ts";

/** Runs `k8s` in the host; the exit code and both streams are for the test to judge. */
export function k8s(host: Host, argv: readonly string[], options: { stdin?: string; timeoutMs?: number } = {}) {
  return host.tryRun(["k8s", ...argv], { timeoutMs: 300_000, ...options });
}

/** Bootstraps and fails the test with all that was printed when that does not work. */
export async function bootstrap(host: Host, config?: string): Promise<void> {
  const file = config === undefined ? [] : ["--file", "-"];
  const result = await k8s(host, ["bootstrap", "--address", host.address, "--timeout", "180s", ...file], {
    ...(config === undefined ? {} : { stdin: config }),
  });
  expect(`${result.exitCode}\n${result.stderr}`, await host.journal("k8sd")).toMatch(/^0\n/);
}

/** Waits until every condition of the node holds. */
export async function becomesReady(host: Host, timeout = "120s"): Promise<void> {
  const result = await k8s(host, ["status", "--wait-ready", "--timeout", timeout]);
  expect(`${result.exitCode}\n${result.stdout}${result.stderr}`).toMatch(/^0\ncluster status: +ready\n/);
}

/** Runs kubectl against the host's cluster. */
export async function kubectl(host: Host, ...argv: string[]): Promise<string> {
  return (await host.run("k8s", "kubectl", ...argv)).stdout;
}
