import type { Empty, OperationEvent, PrepareRequest } from "@k8sd/api-types";
import type { Logger } from "pino";
import { AppError, errorText } from "../../lib/app-error.ts";
import { sleep } from "../../lib/wait.ts";
import { type DeferredRun, onceAsked } from "../../operations/deferred.ts";
import type { OperationRun, Runner } from "../../operations/runner.ts";
import type { NodeKey } from "../node-key.ts";
import { type ClusterLink, createClusterLink } from "./link.ts";
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
const readyPollMs = 300;
/** A cluster that does not answer takes the place back itself, when the hold ends. */
const releaseMs = 10_000;

/** Asks the cluster for a place, and starts the operation that the answer makes possible. */
export function createJoin(deps: JoinStarterDeps) {
  const asked = onceAsked<Empty>(deps.runner, {});
  const preparing = new Map<string, AbortController>();

  async function begin(order: JoinOrder, requestId: string, tell: Tell): Promise<OperationRun> {
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
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), cancelled(requestId)]);
    const wish = prepareWish(order, await deps.versions(signal), deps);
    const identity = deps.nodeKey.certificate(order.name, new Date(deps.now()));
    const { addresses, fingerprint } = wish.ticket;
    const link = createClusterLink({ addresses, fingerprint, identity, patienceMs });
    if (wish.request.role !== "worker") await untilReady(link, { ...wish.request, attempt: requestId }, tell, signal);
    const askedAt = deps.now();
    let reserved = false;
    try {
      const answer = await link.reserve(wish.request, signal);
      reserved = true;
      const { input, secret } = prepareJoin(wish, answer, { ...deps, now: deps.now(), askedAt });
      return deps.runner.start(planJoin(input, requestId), { secret: JSON.stringify(secret), timeoutMs });
    } catch (error) {
      // Nothing was begun here, so nothing stays behind there. Whoever gives up waiting may have got a place all the same.
      if (reserved || signal.aborted) await giveBack(link);
      throw error;
    }
  }

  async function giveBack(link: ClusterLink): Promise<void> {
    await link.advance("release", AbortSignal.timeout(releaseMs)).catch((error: unknown) => {
      deps.log.warn({ error: errorText(error) }, "Cannot give the place back");
    });
  }

  /** Ends what is done under this request before its operation begins. */
  function cancelled(requestId: string): AbortSignal {
    const abort = new AbortController();
    preparing.set(requestId, abort);
    return abort.signal;
  }

  return {
    join: (order: JoinOrder, { requestId }: { readonly requestId: string }): DeferredRun<Empty> =>
      asked.run(requestId, (tell) => begin(order, requestId, tell).finally(() => preparing.delete(requestId))),

    /** False: nothing is being prepared under this id. */
    cancel: (requestId: string): boolean => {
      const abort = preparing.get(requestId);
      abort?.abort(new AppError("cancelled", "cannot finish join: it was cancelled"));
      return abort !== undefined;
    },
  };
}

type Tell = (event: OperationEvent) => void;

/** The cluster may have to change first, which takes its time and cannot be asked for twice. */
async function untilReady(link: ClusterLink, request: PrepareRequest, tell: Tell, signal: AbortSignal): Promise<void> {
  const told = new Set<string>();
  for (;;) {
    const { ready, events } = await link.ask("prepareMember", request, signal);
    for (const event of events) {
      const key = `${event.operation} ${event.step} ${event.state}`;
      if (told.has(key) && event.state !== "progress") continue;
      told.add(key);
      // It is this node's caller who follows, under the id that can be cancelled here.
      tell({ ...event, operation: request.attempt, title: `The cluster: ${event.title}` });
    }
    if (ready) return;
    await sleep(readyPollMs, signal);
  }
}
