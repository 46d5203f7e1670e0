import { randomUUID } from "node:crypto";
import type { Paths } from "../../host/paths.ts";
import type { Journal } from "../../node-db/journal.ts";
import type { Runner } from "../../operations/runner.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { etcdView, ownPeerUrl } from "../join/datastore-view.ts";
import { peerUrl } from "../join/prepare.ts";
import type { Copies, Self } from "./copies.ts";
import { planRejoin } from "./plan.ts";
import { type Answer, backupDirectory, comesAfter } from "./survey.ts";

export interface FollowEpochDeps {
  readonly paths: Paths;
  /** The member that this node is; undefined before there is one. */
  readonly member: () => Self | undefined;
  readonly copies: Pick<Copies, "epoch" | "epochs" | "others">;
  readonly runner: Pick<Runner, "start" | "recover">;
  readonly journal: Pick<Journal, "unfinished">;
}

/** All of the data is sent to it. */
const rejoinMs = 3_600_000;

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
  if (!epochs.some(({ cluster }) => comesAfter(cluster, own))) return "in step";
  // Only now what costs them something to tell.
  const latest = latestOf(self, await deps.copies.others(self, signal));
  if (latest === undefined) return "in step";
  const run = deps.runner.start(planRejoin(rejoinInput(self, latest, deps.paths), randomUUID()), {
    timeoutMs: rejoinMs,
  });
  await run.result;
  return "rejoined";
}

type Copy = NonNullable<Answer["copy"]>;

/** The copy that this node yields to; one that works, because its cluster must be able to take it in. */
export function latestOf({ clusterId: id, view: { epoch = 1, recovery } }: Self, answers: readonly Answer[]) {
  const own: Copy["cluster"] = { id, epoch, ...(recovery === undefined ? {} : { recovery }) };
  return answers
    .flatMap(({ copy }) => (copy?.quorum && !copy.rejoining && comesAfter(copy.cluster, own) ? [copy] : []))
    .reduce<Copy | undefined>(
      (best, copy) => (best === undefined || comesAfter(copy.cluster, best.cluster) ? copy : best),
      undefined,
    );
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
