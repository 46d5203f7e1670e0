import type { Empty } from "@k8sd/api-types";
import type { Logger } from "pino";
import { AppError, errorText } from "../../lib/app-error.ts";
import { type DeferredRun, onceAsked } from "../../operations/deferred.ts";
import type { OperationRun, Runner } from "../../operations/runner.ts";
import type { NodeKey } from "../node-key.ts";
import { createClusterLink } from "./link.ts";
import { planJoin } from "./plan.ts";
import { type JoinOrder, type JoinPrepareDeps, prepareJoin, prepareWish } from "./prepare.ts";

export interface JoinStarterDeps extends JoinPrepareDeps {
  readonly runner: Pick<Runner, "find" | "start">;
  readonly nodeKey: NodeKey;
  readonly log: Logger;
  readonly now: () => number;
  /** Of what runs on this node. */
  readonly versions: (signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
  /** Name of the member that this node is. */
  readonly memberName: () => string | undefined;
}

/** A caller's own limit cannot be longer: nobody waits for a join that takes this long. */
const joinCeilingMs = 3_600_000;
/** Control planes that restart are back within this; whoever waits longer wants to know why. */
const patienceMs = 30_000;

/** Asks the cluster for a place, and starts the operation that the answer makes possible. */
export function createJoin(deps: JoinStarterDeps) {
  const asked = onceAsked<Empty>(deps.runner, {});

  async function begin(order: JoinOrder, requestId: string): Promise<OperationRun> {
    const member = deps.memberName();
    if (member !== undefined) {
      throw new AppError("already-initialised", `node ${JSON.stringify(member)} is part of the cluster`);
    }
    if (asked.pending() > 0) {
      throw new AppError("conflict", "cannot start join: a join is under way", {
        remedy: "Wait until it ends.",
        retryable: true,
      });
    }
    const timeoutMs = Math.min(order.timeoutMs === 0 ? joinCeilingMs : order.timeoutMs, joinCeilingMs);
    const signal = AbortSignal.timeout(timeoutMs);
    const wish = prepareWish(order, await deps.versions(signal), deps);
    const identity = deps.nodeKey.certificate(order.name, new Date(deps.now()));
    const { addresses, fingerprint } = wish.ticket;
    const link = createClusterLink({ addresses, fingerprint, identity, patienceMs });
    const askedAt = deps.now();
    const answer = await link.reserve(wish.request, signal);
    try {
      const { input, secret } = prepareJoin(wish, answer, { ...deps, now: deps.now(), askedAt });
      return deps.runner.start(planJoin(input, requestId), { secret: JSON.stringify(secret), timeoutMs });
    } catch (error) {
      // Nothing was begun here, so nothing stays behind there.
      await link.advance("release", signal).catch((failure: unknown) => {
        deps.log.warn({ error: errorText(failure) }, "Cannot give the place back");
      });
      throw error;
    }
  }

  return (order: JoinOrder, { requestId }: { readonly requestId: string }): DeferredRun<Empty> =>
    asked.run(requestId, () => begin(order, requestId));
}
