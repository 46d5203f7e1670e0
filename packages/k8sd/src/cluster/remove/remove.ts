import type { Empty, OperationEvent } from "@k8sd/api-types";
import { AppError } from "../../lib/app-error.ts";
import { sleep, withDeadline } from "../../lib/wait.ts";
import { type DeferredRun, onceAsked } from "../../operations/deferred.ts";
import type { OperationRun, Runner } from "../../operations/runner.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import type { Connections } from "../connections.ts";
import { createLedger } from "../ledger.ts";
import type { MemberRecord } from "../ledger-records.ts";
import { isTaken } from "../lock.ts";
import { checkEtcdBears, etcdTooSmall } from "./etcd.ts";
import { findMember } from "./find.ts";
import { planRemove, type RemoveInput } from "./plan.ts";

export interface RemoveOrder {
  /** Name, id or address. */
  readonly name: string;
  readonly force: boolean;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

export interface RemoveDeps {
  readonly runner: Pick<Runner, "find" | "start" | "giveUp">;
  readonly connections: () => Connections;
  readonly self: () => BootstrapInput;
  /** This node goes out by itself. */
  readonly leave: (order: Omit<RemoveOrder, "name">, requestId: string) => Promise<OperationRun>;
  /** For a node that has a place and is no member yet. */
  readonly release: (nodeId: string, signal: AbortSignal) => Promise<void>;
  readonly now: () => number;
}

/** Nobody waits longer for a node to go. */
const ceilingMs = 3_600_000;
/** To find the member and see whether the cluster can do without it. */
const lookMs = 10_000;
const turnMs = 300;
/** Of the caller's time, what is left for all that comes after its Pods. */
const afterDrainMs = 30_000;

type Tell = (event: OperationEvent) => void;

/** Takes a node out of the cluster, whether it is alive or not. */
export function createRemove(deps: RemoveDeps) {
  /** A node does one thing at a time; whoever orders several removals at once means all of them. */
  async function begin(order: RemoveOrder, requestId: string, tell: Tell): Promise<OperationRun | undefined> {
    const timeoutMs = Math.min(order.timeoutMs === 0 ? ceilingMs : order.timeoutMs, ceilingMs);
    const over = AbortSignal.timeout(timeoutMs);
    const begun = performance.now();
    const title = "Wait until this node has ended something else";
    const told = (state: "started" | "done"): void =>
      tell({
        operation: requestId,
        kind: "remove",
        step: 1,
        of: 1,
        title,
        state,
        elapsedMs: performance.now() - begun,
      });
    for (let tries = 0; ; tries += 1) {
      try {
        const run = await beginNow({ ...order, timeoutMs }, requestId);
        if (tries > 0) told("done");
        return run;
      } catch (error) {
        if (!isTaken(error) || over.aborted) throw error;
      }
      if (tries === 0) told("started");
      await sleep(turnMs, over).catch(() => {
        // It is tried once more, for the reason.
      });
    }
  }

  async function beginNow(order: RemoveOrder, requestId: string): Promise<OperationRun | undefined> {
    const self = deps.self();
    const signal = AbortSignal.timeout(lookMs);
    const members = await membersOf(order.name, self, signal);
    const member = findMember(members, order.name);
    if (member === undefined) throw unknown(order.name, members);
    if (member.state === "removed") return undefined;
    if (member.state === "reserved") {
      await deps.release(member.id, signal);
      return undefined;
    }
    refuseLast(member, members);
    if (order.force) await giveUpGentle(member);
    if (member.id === self.nodeId) return await deps.leave(order, requestId);
    const managedEtcd = self.view.datastore.engine === "etcd";
    const standsStill =
      managedEtcd && member.role === "control-plane" && (await costsMajority(member, members, order.force, signal));
    const { timeoutMs } = order;
    const { id, name, role, addresses } = member;
    const input = {
      member: { id, name, role, addresses },
      force: order.force,
      drainMs: Math.max(timeoutMs - afterDrainMs, timeoutMs / 2),
      until: deps.now() + timeoutMs,
    };
    const plan = planRemove(input, { kubernetes: self.kubernetes, managedEtcd, standsStill }, requestId);
    return deps.runner.start(plan, { timeoutMs });
  }

  /** One that waits for Pods, or for the API server, would be waited for by this one. */
  function giveUpGentle({ id, name }: MemberRecord): Promise<void> {
    const reason = new AppError("cancelled", `cannot finish remove of ${name}: it is removed by force now`);
    const isGentle = (input: object): boolean => {
      const { member, force } = input as RemoveInput;
      return member.id === id && !force;
    };
    return deps.runner.giveUp(["remove"], reason, isGentle);
  }

  async function membersOf(who: string, { view }: BootstrapInput, signal: AbortSignal) {
    try {
      return await createLedger(await deps.connections().datastore()).members(signal);
    } catch (error) {
      if (view.datastore.engine !== "etcd" || !(error instanceof AppError)) throw error;
      throw new AppError(error.kind, `cannot remove ${who}: the datastore does not answer: ${error.message}`, {
        remedy:
          "Start the control planes that are down. When too many are lost for good, run 'k8s recover' on one that is left, and remove the lost ones then; --force is of no use before.",
        cause: error,
      });
    }
  }

  /** Only by force. */
  async function costsMajority(
    member: MemberRecord,
    members: readonly MemberRecord[],
    force: boolean,
    signal: AbortSignal,
  ): Promise<boolean> {
    const others = members.flatMap(({ role, state, addresses: [address] }) =>
      role === "control-plane" && state === "active" && address !== undefined ? [address] : [],
    );
    const removal = { view: deps.self().view, member, others };
    const deadline = withDeadline(signal, lookMs);
    if (force) return (await etcdTooSmall(removal, deadline)) !== undefined;
    await checkEtcdBears(removal, deadline);
    return false;
  }

  const asked = onceAsked<Empty>(deps.runner, {});
  return (order: RemoveOrder, { requestId }: { readonly requestId: string }): DeferredRun<Empty> =>
    asked.run(requestId, (tell) => begin(order, requestId, tell));
}

function refuseLast(member: MemberRecord, members: readonly MemberRecord[]): void {
  const controlPlanes = members.filter(({ role, state }) => role === "control-plane" && state === "active");
  if (member.role !== "control-plane" || controlPlanes.some(({ id }) => id !== member.id)) return;
  if (member.state !== "active") return;
  throw new AppError(
    "conflict",
    `cannot remove ${member.name}: it is the last control plane, and the cluster with it`,
    {
      remedy: "Join another control plane first; or end the cluster with 'k8s leave --force' on this node.",
    },
  );
}

function unknown(who: string, members: readonly MemberRecord[]): AppError {
  const names = members.flatMap(({ name, state }) => (state === "removed" ? [] : [name]));
  return new AppError("not-found", `cannot remove ${JSON.stringify(who)}: no node has this name, id or address`, {
    field: "name",
    remedy: `The nodes are ${names.sort().join(", ")}.`,
  });
}
