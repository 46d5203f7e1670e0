import { readFile } from "node:fs/promises";
import { fingerprint } from "../../pki/expiry.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import type { NodeKey } from "../node-key.ts";
import type { KnownMember } from "../roster.ts";
import { type ClusterLink, createClusterLink } from "./link.ts";

export interface OthersDeps {
  readonly members: readonly KnownMember[];
  readonly nodeKey: NodeKey;
  /** File of the certificate that every control plane shows; only they have it. */
  readonly clusterCert: string;
  readonly now: () => number;
}

/** A caller that waits asks again itself. */
const patienceMs = 2_000;

/** From a member to the other control planes that it has heard of; undefined when there are none. */
export async function linkToOthers(
  { view, via, nodeId }: BootstrapInput,
  { members, nodeKey, clusterCert, now }: OthersDeps,
): Promise<ClusterLink | undefined> {
  const known = members.filter(({ id, role }) => id !== nodeId && role === "control-plane");
  const addresses = [...new Set([...known.map(({ k8sdAddress }) => k8sdAddress), ...(via?.addresses ?? [])])].filter(
    (address) => address !== view.k8sdAddress,
  );
  if (addresses.length === 0) return undefined;
  return createClusterLink({
    addresses,
    fingerprint: via?.fingerprint ?? fingerprint(await readFile(clusterCert, "utf8")),
    identity: nodeKey.certificate(view.name, new Date(now())),
    patienceMs,
  });
}
