import { rm } from "node:fs/promises";
import { AppError, errorText } from "../../lib/app-error.ts";
import { withDeadline } from "../../lib/wait.ts";
import { writeFileAtomic } from "../../lib/write-file.ts";
import type { Executor, Executors, Step, StepContext } from "../../operations/plan.ts";
import { type BootstrapDeps, createBootstrapExecutors } from "../bootstrap/executors.ts";
import { removeFiles } from "../bootstrap/files.ts";
import { writeCertificates } from "../bootstrap/write-certificates.ts";
import { joinDatastore, leaveDatastore } from "./datastore.ts";
import type { ClusterLink } from "./link.ts";
import type { JoinInput, JoinStep } from "./plan.ts";
import type { JoinSecret } from "./prepare.ts";

export interface JoinDeps extends BootstrapDeps {
  /** The way to the cluster that the operation's input names. */
  readonly link: (input: JoinInput) => ClusterLink;
}

/** A fifth of what the cluster bears without a word. */
const renewMs = 120_000;
/** A cluster that does not answer gives the place away by itself when the hold ends. */
const releaseMs = 15_000;
/** From here on a person notices. */
const notableSkewMs = 5_000;

function inputOf(context: StepContext): JoinInput {
  return context.input as JoinInput;
}

export function createJoinExecutors(deps: JoinDeps): Executors<JoinStep> {
  const { host, log } = deps;
  const { "record-cluster": _record, "commit-node": _commit, ...shared } = createBootstrapExecutors(deps);

  /** While it works the cluster keeps what is held for this node. */
  function held<S extends Step>(executor: Executor<S>): Executor<S> {
    return {
      ...executor,
      run: async (step, context) => {
        const link = deps.link(inputOf(context));
        const renew = (): void => {
          link.advance("renew", context.signal).catch((error: unknown) => {
            // The last step is where it matters; there the cluster says no with its reason.
            log.warn({ error: errorText(error) }, "Cannot tell the cluster that the join goes on");
          });
        };
        const timer = setInterval(renew, renewMs);
        try {
          await executor.run(step, context);
        } finally {
          clearInterval(timer);
        }
      },
    };
  }

  return {
    ...shared,

    announce: {
      run: async (_step, context) => {
        const input = inputOf(context);
        const seconds = (Math.abs(input.skewMs) / 1000).toFixed(1);
        if (Math.abs(input.skewMs) > notableSkewMs) {
          const note = `this node's clock is ${seconds} s ${input.skewMs > 0 ? "behind" : "ahead of"} the cluster's`;
          context.progress({ done: 0, of: 1, note });
          log.warn({ skewMs: input.skewMs }, "The clock differs from the cluster's");
        }
        await deps.link(input).advance("begin", context.signal);
      },
      undo: async (_step, context) => {
        try {
          await deps.link(inputOf(context)).advance("release", withDeadline(context.signal, releaseMs));
        } catch (error) {
          context.signal.throwIfAborted();
          log.warn(
            { error: errorText(error) },
            "Cannot give the place back; the cluster takes it back when it is unused",
          );
        }
      },
    },

    "write-certificates": {
      run: async (_step, context) => {
        const { pki, sealKey } = secretOf(context);
        // The first to come: what is sealed on this node is sealed with the cluster's key.
        if (sealKey !== undefined) {
          await writeFileAtomic({ path: host.paths.sealKey, content: Buffer.from(sealKey, "base64"), mode: 0o600 });
        }
        await writeCertificates(inputOf(context), pki, context, { ...deps, paths: host.paths });
      },
      undo: async (_step, context) => {
        await removeFiles(context);
        await rm(host.paths.sealKey, { force: true });
      },
    },

    "join-datastore": held({
      run: (_step, context) => joinDatastore(inputOf(context).view, context, { services: host.services, log }),
      undo: async (_step, context) => {
        // A member that leaves was taken out by the others before, and has no etcd any more.
        if (deps.identity.read() !== undefined) return;
        await leaveDatastore(inputOf(context).view, context.signal, { services: host.services, log });
      },
    }),
    "await-services": held(shared["await-services"]),
    "import-images": held(shared["import-images"]),

    admit: {
      run: async (_step, context) => {
        const input = inputOf(context);
        await deps.link(input).advance("commit", context.signal);
        const member = { id: input.nodeId, clusterId: input.clusterId, view: input };
        context.commit(() => deps.identity.commit(member, deps.now()));
        deps.joined();
      },
    },
  };
}

function secretOf(context: StepContext): JoinSecret {
  if (context.secret === undefined) throw new AppError("internal", "the join has no certificates to write");
  return JSON.parse(context.secret) as JoinSecret;
}
