import type { Datastore } from "../datastore/datastore.ts";
import { AppError } from "../lib/app-error.ts";
import type { ClusterConfig } from "./config/types.ts";
import { freed } from "./ledger.ts";
import {
  type ClusterRecord,
  clusterKey,
  configKey,
  memberKey,
  membersPrefix,
  nameKey,
  podSubnetKey,
  type RecoveryRecord,
  type StoredMember,
} from "./ledger-records.ts";
import { createLedgerStore, untilSwapped, type Write } from "./ledger-store.ts";
import { tombstone } from "./ledger-transitions.ts";

/** The one control plane of a cluster that was restored. */
export interface TakeOver {
  readonly self: Omit<StoredMember, "role" | "state" | "incarnation" | "changedAt" | "podSubnetIndex">;
  readonly podSubnetIndex: number;
  readonly engine: "sqlite" | "etcd";
  readonly epoch: number;
  readonly recovery: RecoveryRecord;
  readonly at: number;
}

/** What becomes of the members that a snapshot has. */
export type Fate = "self" | "kept" | "removed" | "forgotten" | "gone";

/**
 * Workers stay. Other control planes hold data that is over, so they are out at once: one that is asked for its data, or asks
 * to take over this one's, must not be trusted. What was under way begins anew, and of two with one name this one counts.
 */
export function fateOf(member: StoredMember, self: { readonly id: string; readonly name: string }): Fate {
  if (member.id === self.id) return "self";
  if (member.state === "removed") return "gone";
  if (member.name === self.name || member.state === "reserved" || member.state === "joining") return "forgotten";
  return member.role === "control-plane" ? "removed" : "kept";
}

/** The ledger of a snapshot becomes that of the restored cluster, in one transaction. Again changes nothing more. */
export async function takeOver(datastore: Datastore, order: TakeOver, signal: AbortSignal): Promise<void> {
  const store = createLedgerStore(datastore);
  await untilSwapped("take over the restored cluster", signal, async () => {
    const cluster = await store.read<ClusterRecord>(clusterKey, signal);
    const config = await store.read<ClusterConfig>(configKey, signal);
    const members = await store.list<StoredMember>(membersPrefix, signal);
    if (cluster === undefined || config === undefined) {
      throw new AppError("invalid", "cannot take over the restored cluster: the snapshot records none");
    }
    const { epoch, recovery, engine } = order;
    const writes: readonly Write[] = [
      ...memberWrites(
        members.map(({ value }) => value),
        order,
      ),
      { key: clusterKey, value: { ...cluster.value, epoch, recovery } },
      { key: configKey, value: { ...config.value, datastore: { ...config.value.datastore, type: engine } } },
    ];
    return store.swap([{ key: clusterKey, seen: cluster }], writes, signal);
  });
}

/** One write for each key: what this node gets comes after what others give back. */
export function memberWrites(members: readonly StoredMember[], order: TakeOver): readonly Write[] {
  const { self, podSubnetIndex, at } = order;
  const writes = new Map<string, unknown>();
  for (const member of members) {
    const fate = fateOf(member, self);
    if (fate !== "removed" && fate !== "forgotten") continue;
    // Its way out is over, whatever it was.
    writes.set(memberKey(member.id), tombstone({ ...member, state: "leaving" }, at));
    for (const { key } of freed(member)) writes.set(key, undefined);
  }
  const before = members.find(({ id }) => id === self.id);
  const incarnation = before === undefined ? 1 : before.incarnation + (before.state === "removed" ? 1 : 0);
  const record: StoredMember = {
    ...self,
    role: "control-plane",
    state: "active",
    incarnation,
    podSubnetIndex,
    changedAt: at,
  };
  writes.set(memberKey(self.id), record);
  writes.set(nameKey(self.name), self.id);
  writes.set(podSubnetKey(podSubnetIndex), self.id);
  return [...writes].map(([key, value]) => ({ key, value }));
}
