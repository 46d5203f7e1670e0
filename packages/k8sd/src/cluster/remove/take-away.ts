import type { KubeClient } from "../../kube/kube-client.ts";
import { nodes } from "../../kube/resources.ts";
import { AppError, errorText } from "../../lib/app-error.ts";
import type { StepContext } from "../../operations/plan.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { annotation, annotationFlag } from "../config/annotations.ts";
import type { Connections } from "../connections.ts";
import { createLedger } from "../ledger.ts";
import type { KnownMember } from "../roster.ts";
import { drain } from "./drain.ts";
import { removeEtcdMember } from "./etcd.ts";

export type Leaving = Pick<KnownMember, "id" | "name" | "role" | "addresses" | "removal">;

export interface TakeAwayDeps {
  readonly self: () => BootstrapInput;
  readonly connections: () => Connections;
  readonly members: () => readonly KnownMember[];
  readonly now: () => number;
}

type Context = Pick<StepContext, "signal" | "progress">;

/** What is derived from a member's record and goes with it, in this order. Each can be called again. */
export interface TakeAway {
  drain(member: Leaving, timeoutMs: number, context: Context): Promise<void>;
  leaveDatastore(member: Leaving, context: Context): Promise<void>;
  deleteNode(member: Leaving, context: Context): Promise<void>;
  /** The last: from here on its key is trusted nowhere, and its name is free. */
  forget(member: Leaving, context: Context): Promise<void>;
}

export function createTakeAway({ self, connections, members, now }: TakeAwayDeps): TakeAway {
  const kube = async (): Promise<KubeClient | undefined> =>
    self().kubernetes ? await connections().kube() : undefined;
  return {
    drain: async ({ name }, timeoutMs, context) => {
      const client = await kube();
      if (client === undefined) return;
      const { signal } = context;
      const left = await drain(client, { name, signal, timeoutMs, progress: (done) => context.progress(done) });
      if (left.length === 0) return;
      context.progress({ done: 0, of: left.length, note: `going on although Pods did not go: ${left.join(", ")}` });
    },
    leaveDatastore: async (member, context) => {
      const { view } = self();
      if (member.role !== "control-plane" || view.datastore.engine !== "etcd") return;
      const others = members().flatMap(({ role, state, addresses: [address] }) =>
        role === "control-plane" && state === "active" && address !== undefined ? [address] : [],
      );
      const force = member.removal?.force ?? false;
      await removeEtcdMember({ view, member, others, force }, await connections().datastore(), context);
    },
    deleteNode: async ({ name, removal }, context) => {
      // Whoever manages the machines deletes it then.
      if (annotationFlag(self().config, annotation.skipNodeCleanupOnRemove)) return;
      const { signal } = context;
      try {
        await (await kube())?.delete(nodes, { name }, { signal });
      } catch (error) {
        signal.throwIfAborted();
        if (removal?.force !== true || !(error instanceof AppError)) throw error;
        // Its key is trusted until it is forgotten, and a Node that no member owns goes by itself.
        context.progress({ done: 0, of: 1, note: `its Node stays until Kubernetes answers: ${errorText(error)}` });
      }
    },
    forget: async ({ id }, { signal }) => {
      await createLedger(await connections().datastore()).remove(id, now(), signal);
    },
  };
}
