import { isOurs } from "../../components/node-labels.ts";
import type { Member } from "../../datastore/datastore.ts";
import type { Node } from "../../kube/resources.ts";
import { peerUrl } from "../join/prepare.ts";
import type { MemberRecord } from "../ledger-records.ts";

/** What stands for a member and has no member. */
export interface Orphan {
  readonly kind: "etcd-member" | "node";
  /** etcd's number, or Kubernetes' uid: one that comes again under its name is another one. */
  readonly id: string;
  readonly name: string;
}

/** A Node without a member that is left alone. */
export interface Spared {
  readonly name: string;
  /** foreign: others made it. alive: its kubelet reports. */
  readonly why: "foreign" | "alive";
}

export interface ClusterView {
  readonly members: readonly Pick<MemberRecord, "name" | "role" | "state" | "addresses">[];
  /** Of a managed etcd. */
  readonly etcd?: { readonly peerPort: number; readonly members: readonly Member[]; readonly self: bigint };
  readonly nodes?: readonly Node[];
}

/** Compares what is derived from the ledger with the ledger. Pure. */
export function findOrphans(view: ClusterView): {
  readonly orphans: readonly Orphan[];
  readonly spared: readonly Spared[];
} {
  const present = view.members.filter(({ state }) => state !== "removed");
  const names = new Set(present.map(({ name }) => name));
  const unowned = (view.nodes ?? []).flatMap((node) => {
    const { name, uid } = node.metadata ?? {};
    return name === undefined || uid === undefined || names.has(name) ? [] : [{ name, uid, node }];
  });
  const spares = unowned.flatMap(({ name, node }): Spared[] => {
    if (!isOurs(node.metadata?.labels ?? {})) return [{ name, why: "foreign" }];
    return isReady(node) ? [{ name, why: "alive" }] : [];
  });
  const spared = new Set(spares.map(({ name }) => name));
  const nodes = unowned.flatMap(({ name, uid }): Orphan[] =>
    spared.has(name) ? [] : [{ kind: "node", id: uid, name }],
  );
  return { orphans: [...etcdOrphans(view, present), ...nodes], spared: spares };
}

/**
 * A control plane owns the member at its address. While it moves, its address in the ledger is not yet the one in etcd:
 * then the member that has its name is its own.
 */
function etcdOrphans({ etcd }: ClusterView, present: ClusterView["members"]): readonly Orphan[] {
  if (etcd === undefined) return [];
  const owned = new Set<bigint>([etcd.self]);
  for (const { role, name, addresses } of present) {
    if (role !== "control-plane") continue;
    const urls = addresses.map((address) => peerUrl(address, etcd.peerPort));
    const at = etcd.members.filter(({ peerUrls }) => peerUrls.some((url) => urls.includes(url)));
    const own = at.length > 0 ? at : etcd.members.filter((member) => member.name === name);
    for (const { id } of own) owned.add(id);
  }
  return etcd.members
    .filter(({ id }) => !owned.has(id))
    .map(({ id, name, peerUrls }) => ({
      kind: "etcd-member",
      id: id.toString(16),
      name: name === "" ? peerUrls.join(", ") : name,
    }));
}

function isReady({ status }: Node): boolean {
  return status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false;
}

export interface Sighting {
  readonly orphan: Orphan;
  /** Milliseconds since the Unix epoch. */
  readonly since: number;
  readonly rounds: number;
}

export type Sightings = ReadonlyMap<string, Sighting>;

/** Whatever is under way between the ledger and what is derived from it is over by then, or tries again. */
const minimumAgeMs = 30_000;
const minimumRounds = 3;

/** One more round: what was not an orphan in between begins anew. */
export function sight(before: Sightings, orphans: readonly Orphan[], at: number): Sightings {
  return new Map(
    orphans.map((orphan): [string, Sighting] => {
      const key = `${orphan.kind}/${orphan.id}`;
      const { since = at, rounds = 0 } = before.get(key) ?? {};
      return [key, { orphan, since, rounds: rounds + 1 }];
    }),
  );
}

export function dueOf(sightings: Sightings, at: number): readonly Orphan[] {
  return [...sightings.values()].flatMap(({ orphan, since, rounds }) =>
    rounds >= minimumRounds && at - since >= minimumAgeMs ? [orphan] : [],
  );
}
