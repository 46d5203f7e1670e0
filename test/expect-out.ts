import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import { daemonState, k8s } from "./expect-node.ts";
import { scanHost } from "./hosts/scan.ts";
import type { Host, HostSnapshot } from "./hosts/types.ts";
import { waitForDaemon } from "./node.ts";

/** What a member proves itself with to the others. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
}

export interface OutOptions {
  /** The host before it became a node. */
  readonly before: HostSnapshot;
  readonly timeoutMs?: number;
}

const pair = "/var/snap/k8s/common/var/lib/k8sd/state/server";

/** Taken while it is a member, and it opens what members may see: that it opens nothing afterwards means something. */
export async function identityOf(member: Host, controlPlane: Host): Promise<Identity> {
  const identity = { certificate: await member.readFile(`${pair}.crt`), key: await member.readFile(`${pair}.key`) };
  expect(await answerTo(identity, member, controlPlane), `${member.name} is a member`).toBe("200");
  return identity;
}

/** It hears by itself that it is out, and can join again from then on. */
export async function hearsThatItIsOut(host: Host, timeoutMs = 90_000): Promise<void> {
  const own = async () => (await k8s(host, ["local-node-status"])).stderr;
  await expect.poll(own, { timeout: timeoutMs, interval: 500 }).toContain("not part of a Kubernetes cluster");
}

/** After every removal: the host knows that it is out, and nothing of ours is left on it. */
export async function expectOut(host: Host, { before, timeoutMs }: OutOptions): Promise<void> {
  await waitForDaemon(host);
  await hearsThatItIsOut(host, timeoutMs);
  expect((await scanHost(host, before)).filter((line) => !daemonState.test(line))).toEqual([]);
}

/** And what it proved itself with opens nothing on any control plane that is left. */
export async function expectRefused(identity: Identity, host: Host, controlPlanes: readonly Host[]): Promise<void> {
  for (const controlPlane of controlPlanes) {
    expect(await answerTo(identity, host, controlPlane), `${controlPlane.name} refuses ${host.name}`).toBe("403");
  }
}

async function answerTo({ certificate, key }: Identity, from: Host, to: Host): Promise<string> {
  const at = `/tmp/identity-${randomUUID()}`;
  await from.writeFile(`${at}.crt`, certificate, 0o600);
  await from.writeFile(`${at}.key`, key, 0o600);
  const { stdout } = await from.tryRun([
    ...["curl", "-sk", "--max-time", "20", "--cert", `${at}.crt`, "--key", `${at}.key`],
    ...["-o", "/dev/null", "-w", "%{http_code}", `https://${to.address}:6400/1.0/k8sd/members`],
  ]);
  await from.run("rm", `${at}.crt`, `${at}.key`);
  return stdout;
}
