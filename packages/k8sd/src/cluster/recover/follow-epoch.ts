import { randomUUID } from "node:crypto";
import type { ClusterEpoch, StandingResponse } from "@k8sd/api-types";
import type { Logger } from "pino";
import type { Paths } from "../../host/paths.ts";
import { withDeadline } from "../../lib/wait.ts";
import type { Audit } from "../../node-db/audit.ts";
import type { IdentityStore } from "../../node-db/identity.ts";
import type { Journal } from "../../node-db/journal.ts";
import type { Runner } from "../../operations/runner.ts";
import { audited, byItself } from "../audited.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { etcdView, ownPeerUrl } from "../join/datastore-view.ts";
import { peerUrl } from "../join/prepare.ts";
import type { Notice, Notices } from "../notices.ts";
import { judge } from "../standing.ts";
import type { Copies, Self } from "./copies.ts";
import { planRejoin } from "./plan.ts";
import { type Answer, backupDirectory, comesAfter } from "./survey.ts";

export interface FollowEpochDeps {
  readonly paths: Paths;
  /** The member that this node is; undefined before there is one. */
  readonly member: () => Self | undefined;
  readonly copies: Pick<Copies, "epoch" | "epochs" | "others" | "own" | "link">;
  readonly audit: Pick<Audit, "record">;
  readonly notices: Pick<Notices, "set">;
  readonly identity: Pick<IdentityStore<BootstrapInput>, "commit">;
  /** When this node's etcd was started that runs now; undefined: it does not run. */
  readonly etcdStartedAt: (signal: AbortSignal) => Promise<number | undefined>;
  readonly log: Logger;
  readonly now: () => number;
  readonly runner: Pick<Runner, "start" | "recover">;
  readonly journal: Pick<Journal, "unfinished">;
}

/** All of the data is sent to it. */
const rejoinMs = 3_600_000;
/** It has just answered another question. */
const standingMs = 8_000;

/**
 * One look at the others: whether the cluster goes on in a later epoch than this node's. Then it takes part in that one.
 * An answer counts only when it came from a control plane of this cluster.
 */
export async function followEpoch(deps: FollowEpochDeps, signal: AbortSignal): Promise<"in step" | "rejoined"> {
  if (deps.journal.unfinished().some(({ kind }) => kind === "rejoin")) {
    await deps.runner.recover();
    return "rejoined";
  }
  const self = deps.member();
  if (self === undefined || self.view.view.role === "worker" || self.view.view.datastore.engine !== "etcd") {
    return "in step";
  }
  const own = deps.copies.epoch(self).cluster;
  const epochs = await deps.copies.epochs(self, signal);
  const later = epochs.filter(({ cluster }) => comesAfter(cluster, own));
  const declined = later.find(({ cluster }) => isDeclined(self, cluster));
  // Who does not answer has neither gone nor yielded.
  if (epochs.length > 0) deps.notices.set(condition, declined && declinedNotice(declined));
  if (later.every(({ cluster }) => isDeclined(self, cluster))) return "in step";
  // Only now what costs them something to tell.
  const answers = await deps.copies.others(self, signal);
  const latest = latestOf(self, answers);
  if (latest === undefined) return "in step";
  if (await workedMeanwhile(self, latest, deps, signal)) return decline(self, latest, deps);
  const { address = "" } = answers.find(({ copy }) => copy === latest) ?? {};
  const link = await deps.copies.link(address);
  const standing = await link.standing(withDeadline(signal, standingMs));
  if (judge(self.view, standing) !== "member") {
    deps.notices.set(condition, leftOutNotice(latest, standing));
    return "in step";
  }
  const run = deps.runner.start(planRejoin(rejoinInput(self, latest, deps.paths), randomUUID()), {
    timeoutMs: rejoinMs,
  });
  const details = { epoch: latest.cluster.epoch, of: latest.name };
  audited(deps.audit, byItself, { action: "cluster.rejoin", details }, run.result);
  await run.result;
  return "rejoined";
}

/**
 * True on a side that was there when the other one was recovered, and works: somebody recovered what was only cut off. What
 * was written here since then would be lost. Of two sides that were both recovered one has to yield.
 */
async function workedMeanwhile(self: Self, to: Copy, deps: FollowEpochDeps, signal: AbortSignal): Promise<boolean> {
  const { recovery, epoch } = to.cluster;
  if (epoch === (self.view.epoch ?? 1)) return false;
  const startedAt = await deps.etcdStartedAt(signal);
  if (startedAt === undefined || recovery === undefined) return false;
  const clockDifference = to.now - deps.now();
  if (startedAt >= recovery.at - clockDifference) return false;
  return (await deps.copies.own(self, signal)).quorum;
}

function decline({ id, clusterId, view }: Self, to: Copy, deps: FollowEpochDeps): "in step" {
  const { audit, identity, log, notices, now } = deps;
  const declined = [...(view.declined ?? []), to.cluster.recovery?.id ?? ""];
  const notice = declinedNotice(to);
  log.error({ recovered: to.name, epoch: to.cluster.epoch }, notice.message);
  notices.set(condition, notice);
  const details = { epoch: to.cluster.epoch, of: to.name };
  audit.record({ actor: byItself.actor, action: "cluster.decline-recovery", outcome: "ok", details });
  identity.commit({ id, clusterId, view: { ...view, declined } }, now());
  return "in step";
}

const condition = "OneCluster";

function declinedNotice({ name, cluster }: Pick<ClusterEpoch, "name" | "cluster">): Notice {
  return {
    reason: "RecoveryDeclined",
    message: `${cluster.recovery?.by ?? name} was recovered (epoch ${cluster.epoch}) while this side worked, so this node does not follow it, and there are two clusters. Run 'k8s leave --force' on the nodes of the side that shall be given up, and join them again`,
  };
}

function leftOutNotice({ name, cluster }: Copy, { state }: StandingResponse): Notice {
  const what = state === "removed" ? "took this node out" : "has no record of this node's membership";
  return {
    reason: "LeftOut",
    message: `the cluster that ${name} goes on with (epoch ${cluster.epoch}) ${what}, so this node does not follow it. Run 'k8s leave --force' on this node, then join it again with a new token`,
  };
}

type Copy = NonNullable<Answer["copy"]>;

/** The copy that this node yields to; one that works, because its cluster must be able to take it in. */
export function latestOf(self: Self, answers: readonly Answer[]) {
  const { clusterId: id, view } = self;
  const { epoch = 1, recovery } = view;
  const own: Copy["cluster"] = { id, epoch, ...(recovery === undefined ? {} : { recovery }) };
  return answers
    .flatMap(({ copy }) =>
      copy?.quorum && !copy.rejoining && comesAfter(copy.cluster, own) && !isDeclined(self, copy.cluster) ? [copy] : [],
    )
    .reduce<Copy | undefined>(
      (best, copy) => (best === undefined || comesAfter(copy.cluster, best.cluster) ? copy : best),
      undefined,
    );
}

function isDeclined({ view }: Self, { recovery }: Copy["cluster"]): boolean {
  return recovery !== undefined && (view.declined ?? []).includes(recovery.id);
}

function rejoinInput({ id, clusterId, view: before }: Self, to: Copy, paths: Paths) {
  const datastore = etcdView(before.view);
  const { recovery: _before, ...rest } = before;
  const [address = ""] = to.addresses;
  const after: BootstrapInput = {
    ...rest,
    epoch: to.cluster.epoch,
    ...(to.cluster.recovery === undefined ? {} : { recovery: to.cluster.recovery }),
    view: {
      ...before.view,
      datastore: {
        ...datastore,
        initialCluster: {
          state: "existing",
          peers: {
            [to.name]: peerUrl(address, datastore.peerPort),
            [before.view.name]: ownPeerUrl(before.view, datastore),
          },
        },
      },
    },
  };
  return {
    nodeId: id,
    clusterId,
    after,
    backup: backupDirectory(paths.etcd, to.cluster.epoch, to.cluster.recovery?.by ?? to.name),
  };
}
