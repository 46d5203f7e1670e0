import type { Empty } from "@k8sd/api-types";
import { AppError } from "../../lib/app-error.ts";
import { type DeferredRun, onceAsked } from "../../operations/deferred.ts";
import type { OperationKind } from "../../operations/plan.ts";
import type { OperationRun, Runner } from "../../operations/runner.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { checkEtcdBears, etcdTooSmall } from "../remove/etcd.ts";
import type { KnownMember } from "../roster.ts";
import { type LeaveInput, planLeave } from "./plan.ts";

export interface LeaveOrder {
  readonly force: boolean;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

export interface LeaveStarterDeps {
  readonly runner: Pick<Runner, "find" | "start" | "giveUp">;
  readonly self: () => BootstrapInput;
  readonly members: () => readonly KnownMember[];
}

const ceilingMs = 3_600_000;
const lookMs = 10_000;

/** The node goes out of its cluster by itself. */
export function createLeave(deps: LeaveStarterDeps) {
  const asked = onceAsked<Empty>(deps.runner, {});

  const giveUp = (kinds: readonly OperationKind[]): Promise<void> =>
    deps.runner.giveUp(kinds, new AppError("cancelled", "cannot finish: this node leaves its cluster"));

  async function begin({ force, timeoutMs }: LeaveOrder, requestId: string): Promise<OperationRun> {
    const { view, nodeId } = deps.self();
    const others = deps
      .members()
      .filter(({ id, role, state }) => id !== nodeId && role === "control-plane" && state === "active");
    const addresses = others.flatMap(({ addresses: [address] }) => (address === undefined ? [] : [address]));
    const votes = view.role === "control-plane" && view.datastore.engine === "etcd";
    const etcd = { view, member: view, others: addresses };
    if (!force) {
      if (view.role === "control-plane") refuseLast(view.name, others);
      if (votes) await checkEtcdBears(etcd, AbortSignal.timeout(lookMs));
      return start({ name: view.name, cluster: "asks" }, requestId, timeoutMs);
    }
    // Also where it waits for the cluster's consent already.
    await giveUp(["leave", "remove", "rejoin"]);
    // One that is gone, or alone, loses nothing.
    const costs =
      votes && others.length > 0
        ? await etcdTooSmall(etcd, AbortSignal.timeout(lookMs)).catch(() => undefined)
        : undefined;
    const cost = costs === undefined ? {} : ({ standsStill: true } as const);
    return start({ name: view.name, cluster: "tells", ...cost }, requestId, timeoutMs);
  }

  function start(input: LeaveInput, requestId: string, timeoutMs: number): OperationRun {
    const plan = planLeave(input, requestId);
    return deps.runner.start(plan, { timeoutMs: Math.min(timeoutMs === 0 ? ceilingMs : timeoutMs, ceilingMs) });
  }

  return {
    begin,
    leave: (order: LeaveOrder, { requestId }: { readonly requestId: string }): DeferredRun<Empty> =>
      asked.run(requestId, () => begin(order, requestId)),
    /** The cluster has taken this node out while it was away. */
    wasRemoved: async (requestId: string): Promise<OperationRun> => {
      // What this node was doing for the cluster it cannot do any more.
      await giveUp(["remove", "rejoin"]);
      return start({ name: deps.self().view.name, cluster: "knows" }, requestId, ceilingMs);
    },
  };
}

function refuseLast(name: string, others: readonly KnownMember[]): void {
  if (others.length > 0) return;
  throw new AppError("conflict", `cannot leave with ${name}: it is the last control plane, and the cluster with it`, {
    remedy: "Join another control plane first, or end the cluster with 'k8s leave --force'.",
  });
}
