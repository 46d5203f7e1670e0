import { k8s } from "../expect-node.ts";
import type { Host } from "../hosts/types.ts";
import { callDaemon } from "../node.ts";
import type { KnownMember, Sighting } from "./history-check.ts";

/** What the first control plane that answers says; undefined when none does. */
export async function sight(controlPlanes: readonly Host[], now: () => number): Promise<Sighting | undefined> {
  for (const host of controlPlanes) {
    const began = now();
    const answer = await callDaemon(host, "GET", "/1.0/k8sd/members").catch(() => undefined);
    const { members } = (answer?.metadata ?? {}) as {
      members?: { addresses: string[]; name: string; state: string }[];
    };
    if (members === undefined) continue;
    return {
      beganAt: began,
      endedAt: now(),
      members: members.map(({ addresses: [address = ""], name, state }): KnownMember => ({ address, name, state })),
    };
  }
  return undefined;
}

/** The name under which the host says it is a member; "" when it is none; undefined when it does not say. */
export async function ownName(host: Host): Promise<string | undefined> {
  const { exitCode, stdout, stderr } = await k8s(host, ["local-node-status", "--output-format", "json"], {
    timeoutMs: 15_000,
  }).catch(() => ({ exitCode: 1, stdout: "", stderr: "" }));
  if (exitCode === 0) return (JSON.parse(stdout) as { name: string }).name;
  return stderr.includes("not part of a Kubernetes cluster") ? "" : undefined;
}

export interface CountedToken {
  readonly id: string;
  readonly name: string;
  readonly uses: number;
  readonly used: number;
  readonly joining: number;
}

export async function listTokens(host: Host): Promise<readonly CountedToken[]> {
  const { metadata, error } = await callDaemon(host, "GET", "/1.0/k8sd/cluster/tokens");
  if (error !== "") throw new Error(`${host.address} does not list its tokens: ${error}`);
  return (metadata as { tokens: CountedToken[] }).tokens;
}
