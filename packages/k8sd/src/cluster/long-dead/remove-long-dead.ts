import { randomUUID } from "node:crypto";
import type { DeadMembersResponse } from "@k8sd/api-types";
import type { Logger } from "pino";
import { errorText } from "../../lib/app-error.ts";
import { withDeadline } from "../../lib/wait.ts";
import type { Audit } from "../../node-db/audit.ts";
import type { DeferredRun } from "../../operations/deferred.ts";
import { audited, byItself } from "../audited.ts";
import { removeDeadAfter } from "../config/dead-nodes.ts";
import type { Connections } from "../connections.ts";
import type { ClusterLink } from "../join/link.ts";
import { createLedger } from "../ledger.ts";
import type { MemberRecord } from "../ledger-records.ts";
import { isTaken, withClusterLock } from "../lock.ts";
import type { RemoveOrder } from "../remove/remove.ts";
import type { DeadWatch } from "./dead-watch.ts";
import { type DeadView, findLongDead, type LongDead } from "./plan.ts";

export interface RemoveLongDeadDeps {
  readonly watch: DeadWatch;
  /** To the control plane at this address. */
  readonly link: (address: string) => Promise<Pick<ClusterLink, "ask">>;
  /** Whether Kubernetes hears of the node: then only its k8sd is away. */
  readonly isReady: (name: string, signal: AbortSignal) => Promise<boolean>;
  readonly connections: () => Connections;
  readonly remove: (
    order: RemoveOrder,
    options: { readonly requestId: string },
  ) => Pick<DeferredRun<unknown>, "result">;
  readonly audit: Pick<Audit, "record">;
  readonly log: Logger;
}

export type RemoveLongDead = ReturnType<typeof createRemoveLongDead>;

/** A control plane that is well answers in milliseconds. */
const askMs = 5_000;
/** Nothing is asked of a dead node. */
const removeMs = 120_000;

/**
 * Takes long-dead members out, one at a time, where the cluster's configuration says so. The ledger is read from the
 * majority first, so a side that is cut off takes out nobody.
 */
export function createRemoveLongDead(deps: RemoveLongDeadDeps) {
  async function look(self: string, signal: AbortSignal): Promise<LongDead | undefined> {
    const own = deps.watch.look();
    if (own.size === 0) return undefined;
    const ledger = createLedger(await deps.connections().datastore());
    const afterMs = removeDeadAfter(await ledger.config(signal));
    if (afterMs === undefined || ![...own.values()].some((deadMs) => deadMs >= afterMs)) return undefined;
    const members = await ledger.members(signal);
    const others = members.filter(
      ({ id, role, state }) => id !== self && role === "control-plane" && state === "active" && !own.has(id),
    );
    const answers = await Promise.all(
      others.map(async (member): Promise<readonly [string, DeadView][]> => {
        try {
          return [[member.id, await askDead(member, signal)]];
        } catch (error) {
          signal.throwIfAborted();
          deps.log.debug({ member: member.name, error: errorText(error) }, "Cannot ask who is dead");
          return [];
        }
      }),
    );
    return findLongDead({ members, views: new Map([[self, own], ...answers.flat()]), afterMs });
  }

  async function askDead({ k8sdAddress }: MemberRecord, signal: AbortSignal): Promise<DeadView> {
    const link = await deps.link(k8sdAddress);
    const { members } = await link.ask("deadMembers", undefined, withDeadline(signal, askMs));
    return new Map(members.map((member) => [member.id, member["dead-ms"]]));
  }

  async function takeOut({ id, name, deadMs }: LongDead): Promise<void> {
    deps.log.warn({ member: name, deadMs }, "Taking out a member that has been dead for long");
    const order = { name: id, force: false, timeoutMs: removeMs };
    const { result } = deps.remove(order, { requestId: randomUUID() });
    audited(deps.audit, byItself, { action: "member.remove-dead", details: { name, id, deadMs } }, result);
    await result;
  }

  return {
    /** What this node tells others that ask. */
    dead: (): DeadMembersResponse => ({
      members: [...deps.watch.look()].map(([id, deadMs]) => ({ id, "dead-ms": Math.round(deadMs) })),
    }),

    round: async (self: string, signal: AbortSignal): Promise<void> => {
      const seen = await look(self, signal);
      if (seen === undefined || (await deps.isReady(seen.name, signal))) return;
      const lock = { name: "long-dead", signal, waitMs: 0 };
      try {
        await withClusterLock(await deps.connections().datastore(), lock, async (held) => {
          // Another control plane may have taken it out, or another one, since.
          const found = await look(self, held);
          if (found !== undefined && !(await deps.isReady(found.name, held))) await takeOut(found);
        });
      } catch (error) {
        // Another control plane is at it.
        if (!isTaken(error)) throw error;
      }
    },
  };
}
