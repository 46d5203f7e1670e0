import { join } from "node:path";
import type { DatastoreCopy, RecoveryMember, RecoveryPlan } from "@k8sd/api-types";

/** What another control plane answered, or why it did not. */
export interface Answer {
  readonly name: string;
  readonly address: string;
  readonly copy?: DatastoreCopy;
  readonly problem?: string;
}

export interface Survey {
  readonly self: DatastoreCopy;
  /** `ip:port` of this node's k8sd. */
  readonly address: string;
  readonly others: readonly Answer[];
  readonly backups: string;
}

type Refusal = NonNullable<RecoveryPlan["refusal"]>;
type Log = NonNullable<DatastoreCopy["log"]>;
type Lineage = DatastoreCopy["cluster"];

/** Raft's own rule for who may lead: the newer term, then the longer log. */
export function isAhead(a: Log, b: Log): boolean {
  return a.term === b.term ? a.index > b.index : a.term > b.term;
}

/**
 * Whether the cluster of one copy comes after that of another, so that the other one yields. A higher epoch does. Two
 * halves may have been recovered apart and got the same epoch: both choose the one that was made of more, then by its id.
 */
export function comesAfter(a: Lineage, b: Lineage): boolean {
  if (a.id !== b.id) return false;
  if (a.epoch !== b.epoch) return a.epoch > b.epoch;
  if (a.recovery === undefined || b.recovery === undefined || a.recovery.id === b.recovery.id) return false;
  if (isAhead(a.recovery, b.recovery)) return true;
  return !isAhead(b.recovery, a.recovery) && a.recovery.id < b.recovery.id;
}

/** Where the data of an epoch is kept when a later one replaces it. */
export function backupDirectory(backups: string, epoch: number, by: string): string {
  return join(backups, `before-epoch-${epoch}-of-${by}`);
}

/** What a recovery on this node would do, and what speaks against it. */
export function planRecovery({ self, address, others, backups }: Survey): RecoveryPlan {
  const refusal = refusalOf(self, others);
  const to = Math.max(self.cluster.epoch, ...others.map(({ copy }) => copy?.cluster.epoch ?? 0)) + 1;
  return {
    keeps: self.name,
    epoch: { from: self.cluster.epoch, to },
    members: [
      { name: self.name, address, self: true, ...(self.log === undefined ? {} : { log: self.log }) },
      ...others.map(({ name, address, copy, problem }): RecoveryMember => {
        const log = copy?.log;
        const why = problem ?? (log === undefined ? "it holds no copy" : undefined);
        return {
          name,
          address,
          self: false,
          ...(log === undefined ? {} : { log }),
          ...(why === undefined ? {} : { problem: why }),
        };
      }),
    ],
    rejoin: others.map(({ name }) => name),
    backup: backupDirectory(backups, to, self.name),
    ...(refusal === undefined ? {} : { refusal }),
  };
}

function refusalOf(self: DatastoreCopy, others: readonly Answer[]): Refusal | undefined {
  const never = (message: string, remedy: string): Refusal => ({ message, remedy, forceable: false });
  const unless = (message: string, remedy: string): Refusal => ({ message, remedy, forceable: true });
  if (self.engine !== "etcd") {
    return self.engine === "sqlite"
      ? never(
          "cannot recover: the cluster keeps its data in sqlite on this node alone, so there is no quorum to lose",
          "Look at the log of k8s-datastore.",
        )
      : never("cannot recover: the datastore is not managed by this cluster", "Recover the external datastore itself.");
  }
  const own = self.log;
  if (own === undefined) {
    return never(
      "cannot recover: this node holds no copy of the cluster's data",
      "Run 'k8s recover' on a control plane that does.",
    );
  }
  if (self.quorum) {
    return never(
      "cannot recover: the cluster has its quorum and works",
      "Remove nodes that are lost with 'k8s remove-node'.",
    );
  }
  const answered = others.flatMap(({ copy }) =>
    copy === undefined || copy.cluster.id !== self.cluster.id ? [] : [copy],
  );
  const later = answered.find(
    (copy) => comesAfter(copy.cluster, self.cluster) || (copy.quorum && !comesAfter(self.cluster, copy.cluster)),
  );
  if (later !== undefined) {
    return never(
      `cannot recover: ${later.name} is in a cluster that works, in epoch ${later.cluster.epoch}`,
      "This node takes part in it again by itself: look at etcd's log when it does not.",
    );
  }
  const same = answered.filter((copy) => copy.log !== undefined && !comesAfter(self.cluster, copy.cluster));
  const ahead = same.find(({ log }) => log !== undefined && isAhead(log, own));
  if (ahead !== undefined) {
    return unless(
      `cannot recover: ${ahead.name} has more than this node (entry ${ahead.log?.index} against ${own.index}), which would be lost`,
      `Run 'k8s recover' on ${ahead.name}, or add --force here to lose it.`,
    );
  }
  const needed = Math.floor((others.length + 1) / 2) + 1;
  const holders = [self.name, ...same.map(({ name }) => name)];
  if (holders.length >= needed) {
    return unless(
      `cannot recover: ${holders.join(", ")} hold the data, and ${needed} of ${others.length + 1} are enough for a quorum`,
      "Start etcd on them, or look at its log there; add --force when that cannot work.",
    );
  }
  return undefined;
}
