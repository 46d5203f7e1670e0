import { rm } from "node:fs/promises";
import type { Logger } from "pino";
import { cleanAfter } from "../../components/cleanup.ts";
import type { Host } from "../../host/host.ts";
import { AppError, errorText } from "../../lib/app-error.ts";
import { poll, withDeadline } from "../../lib/wait.ts";
import type { IdentityStore } from "../../node-db/identity.ts";
import type { Executors, StepContext } from "../../operations/plan.ts";
import type { Runner } from "../../operations/runner.ts";
import { type BootstrapInput, serviceStages } from "../bootstrap/plan.ts";
import { annotation, annotationFlag } from "../config/annotations.ts";
import type { ClusterLink } from "../join/link.ts";
import type { Roster } from "../roster.ts";
import type { LeaveInput, LeaveStep } from "./plan.ts";

export interface LeaveDeps {
  readonly host: Host;
  readonly log: Logger;
  readonly identity: IdentityStore<BootstrapInput>;
  readonly roster: Pick<Roster, "replace">;
  readonly runner: Pick<Runner, "takeBack">;
  readonly forgetMesh: () => void;
  /** Other control planes. */
  readonly link: () => Promise<ClusterLink>;
  /** Records in the ledger that this node leaves; by force: whatever it costs the others. */
  readonly announce: (how: { readonly force: boolean }, signal: AbortSignal) => Promise<void>;
  /** What runs only on a member. */
  readonly member: { stop(): Promise<void> };
}

/** A cluster that may be gone gets no more of the user's time than this. */
const tellMs = 10_000;
const standingMs = 500;
/** The caller's own limit comes first. */
const removalMs = 3_600_000;
/** A cluster that works has a member of etcd out within seconds. */
const voteMs = 30_000;

export function createLeaveExecutors(
  deps: LeaveDeps,
  waits: { readonly voteMs: number } = { voteMs },
): Executors<LeaveStep> {
  const { host, identity } = deps;

  async function awaitRemoval(deadlineMs: number, signal: AbortSignal): Promise<void> {
    const link = await deps.link();
    const isOut = async (deadline: AbortSignal): Promise<true | undefined> => {
      const { state } = await link.standing(deadline);
      // One that the cluster has never heard of is out as well.
      return state === "removed" || state === "unknown" || undefined;
    };
    await poll(isOut, {
      what: "see this node taken out",
      deadlineMs,
      intervalMs: standingMs,
      signal,
      remedy: "Look at the log of k8sd on the control planes; 'k8s leave --force' goes on without them.",
    });
  }

  /** Without the vote of one of two nothing is decided any more, so it votes until the other one is alone by decision. */
  async function tellByForce(context: StepContext): Promise<void> {
    const { signal } = context;
    const told = (note: string, error: unknown): void => {
      signal.throwIfAborted();
      context.progress({ done: 0, of: 1, note: `${note}: ${errorText(error)}` });
      deps.log.warn({ error: errorText(error) }, note);
    };
    try {
      await deps.announce({ force: true }, withDeadline(signal, tellMs));
    } catch (error) {
      return told("the cluster does not know of it", error);
    }
    if (identity.read()?.view.view.datastore.engine !== "etcd") return;
    await awaitRemoval(waits.voteMs, signal).catch((error: unknown) => {
      told(
        "the cluster has not taken this node out; when it has no majority without it, run 'k8s recover' there",
        error,
      );
    });
  }
  const inputOf = (context: StepContext): LeaveInput => context.input as LeaveInput;

  return {
    "tell-cluster": {
      run: async (_step, context) => {
        if (inputOf(context).cluster === "asks") return deps.announce({ force: false }, context.signal);
        await tellByForce(context);
      },
    },

    "await-removal": {
      run: (_step, context) => awaitRemoval(removalMs, context.signal),
    },

    "stop-services": {
      run: async (_step, context) => {
        const { signal } = context;
        await deps.member.stop();
        const self = identity.read()?.view;
        const services = self === undefined || keepsServices(self) ? [] : serviceStages(self).flat().toReversed();
        for (const [index, name] of services.entries()) {
          context.progress({ done: index, of: services.length, note: name });
          await host.services.stop(name, signal);
          await cleanAfter(name, host, signal);
          await host.services.remove(name, signal);
        }
      },
    },

    "take-back": {
      run: async (_step, context) => {
        const self = identity.read()?.view;
        if (self !== undefined && keepsServices(self)) return;
        const reason = new AppError("cancelled", "cannot stay in the cluster: this node has left it");
        const clean = await deps.runner.takeBack(["bootstrap", "join"], reason, {
          signal: context.signal,
          onEvent: ({ step, of, title, state }) => {
            if (state === "undoing") context.progress({ done: of - step, of, note: title });
          },
        });
        if (!clean)
          throw new AppError("unavailable", "cannot remove all that the node set up; the log says what is left");
        const { paths } = host;
        for (const path of [paths.etcd, paths.datastore]) await rm(path, { recursive: true, force: true });
      },
    },

    "forget-cluster": {
      run: async (_step, context) => {
        // What was sealed for the old cluster opens nothing in the next one.
        await rm(host.paths.sealKey, { force: true });
        deps.roster.replace([]);
        deps.forgetMesh();
        context.commit(() => identity.clear());
      },
    },
  };
}

/** Whoever manages the machines takes them down whole. */
function keepsServices({ config }: BootstrapInput): boolean {
  return annotationFlag(config, annotation.skipStopServicesOnRemove);
}
