import { randomUUID } from "node:crypto";
import type { ClusterEpoch, DatastoreCopy, RecoverResponse, RecoveryPlan } from "@k8sd/api-types";
import type { Paths } from "../../host/paths.ts";
import { AppError } from "../../lib/app-error.ts";
import type { Audit } from "../../node-db/audit.ts";
import { type DeferredRun, deferredRun } from "../../operations/deferred.ts";
import type { OperationRun, Runner } from "../../operations/runner.ts";
import { type Asker, audited } from "../audited.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { etcdView, ownPeerUrl } from "../join/datastore-view.ts";
import type { Copies, Self } from "./copies.ts";
import { planRecover, type RecoverInput } from "./plan.ts";
import { planRecovery, type Survey } from "./survey.ts";

export interface RecoveryDeps {
  readonly paths: Paths;
  /** The member that this node is; throws before there is one. */
  readonly member: () => Self;
  readonly copies: Copies;
  readonly audit: Pick<Audit, "record">;
  readonly runner: Pick<Runner, "find" | "start" | "giveUp">;
  readonly now: () => number;
}

export interface RecoverOrder {
  readonly force: boolean;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

/** Gigabytes are copied and rebuilt within minutes. */
const recoverCeilingMs = 3_600_000;

export type Recovery = ReturnType<typeof createRecovery>;

/** Brings a cluster back that has lost more control planes than it can bear. */
export function createRecovery(deps: RecoveryDeps) {
  async function survey(self: Self, signal: AbortSignal): Promise<Survey> {
    const [own, others] = await Promise.all([deps.copies.own(self, signal), deps.copies.others(self, signal)]);
    return { self: own, address: self.view.view.k8sdAddress, others, backups: deps.paths.etcd };
  }

  async function begin({ force, timeoutMs }: RecoverOrder, requestId: string): Promise<OperationRun> {
    const limit = Math.min(timeoutMs === 0 ? recoverCeilingMs : timeoutMs, recoverCeilingMs);
    const self = deps.member();
    const seen = await survey(self, AbortSignal.timeout(limit));
    const plan = planRecovery(seen);
    if (plan.refusal !== undefined && !(force && plan.refusal.forceable)) {
      throw new AppError("conflict", plan.refusal.message, { remedy: plan.refusal.remedy });
    }
    // It needs the quorum that is lost; whoever sees the record of it finishes it.
    await deps.runner.giveUp(["remove"], new AppError("cancelled", "cannot finish remove: a recovery came before it"));
    const result: RecoverResponse = { epoch: plan.epoch.to, backup: plan.backup, rejoin: [...plan.rejoin] };
    return deps.runner.start(planRecover(inputOf(self, seen.self, plan), { ...result }, requestId), {
      timeoutMs: limit,
    });
  }

  function inputOf({ id, clusterId, view: before }: Self, own: DatastoreCopy, plan: RecoveryPlan): RecoverInput {
    const { term = 0, index = 0 } = own.log ?? {};
    const recovery = { id: randomUUID(), by: own.name, term, index, at: deps.now() };
    const epoch = plan.epoch.to;
    const datastore = etcdView(before.view);
    const alone: BootstrapInput = {
      ...before,
      epoch,
      recovery,
      view: {
        ...before.view,
        datastore: {
          ...datastore,
          // Should its data be lost, it must not found a cluster of its own.
          initialCluster: { state: "existing", peers: { [before.view.name]: ownPeerUrl(before.view, datastore) } },
        },
      },
    };
    return { nodeId: id, clusterId, before, after: alone, epoch, recovery, backup: plan.backup };
  }

  return {
    /** In which epoch this node is. */
    epoch: (): ClusterEpoch => deps.copies.epoch(deps.member()),

    /** What this node holds, for another control plane that asks. */
    copy: (signal: AbortSignal): Promise<DatastoreCopy> => deps.copies.own(deps.member(), signal),

    plan: async (signal: AbortSignal): Promise<RecoveryPlan> => planRecovery(await survey(deps.member(), signal)),

    recover(
      order: RecoverOrder,
      { requestId, caller }: { readonly requestId: string; readonly caller: Asker },
    ): DeferredRun<RecoverResponse> {
      const known = deps.runner.find(requestId);
      const run = deferredRun<RecoverResponse>(
        requestId,
        known === undefined ? begin(order, requestId) : Promise.resolve(known),
      );
      const details = { force: String(order.force), epoch: deps.copies.epoch(deps.member()).cluster.epoch };
      if (known === undefined) audited(deps.audit, caller, { action: "cluster.recover", details }, run.result);
      return run;
    },
  };
}
