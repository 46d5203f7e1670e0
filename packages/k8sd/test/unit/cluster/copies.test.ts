import type { ClusterEpoch } from "@k8sd/api-types";
import { expect, test } from "vitest";
import { type CopiesDeps, createCopies } from "../../../src/cluster/recover/copies.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const base = aBootstrapInput({ kubernetes: false });
const member = (name: string, address: string) => ({
  id: `id-${name}`,
  name,
  role: "control-plane",
  state: "active",
  addresses: [address],
  k8sdAddress: `${address}:6400`,
});

/** Whose etcd a node goes to while its own is away, before it has asked anybody in which epoch they are. */
function peersOf(view: { epoch?: number; declined?: readonly string[] }): readonly string[] {
  const self = { id: base.nodeId, clusterId: "c", view: { ...base, ...view } };
  const deps = {
    identity: { read: () => self },
    roster: { members: () => [member("n2", "192.0.2.2"), member("n3", "192.0.2.3")] },
    rejoining: () => false,
  } as unknown as CopiesDeps;
  const own: ClusterEpoch = createCopies(deps).epoch(self);
  expect(own.cluster.epoch).toBe(view.epoch ?? 1);
  return createCopies(deps).peers();
}

test("others hold the same data until there was a recovery, followed or declined; then only those that say so", () => {
  expect(peersOf({})).toEqual(["192.0.2.2", "192.0.2.3"]);
  expect(peersOf({ epoch: 2 })).toEqual([]);
  expect(peersOf({ declined: ["theirs"] })).toEqual([]);
});
