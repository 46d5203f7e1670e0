import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { NodeView } from "../../components/component.ts";
import { etcd } from "../../components/etcd.ts";
import { readMemberId } from "../../datastore/etcd-log.ts";
import { initialCluster } from "../../datastore/etcd-members-facts.ts";
import type { EtcdMembers } from "../../datastore/etcd-members-types.ts";
import type { ServiceManager } from "../../host/services.ts";
import { AppError } from "../../lib/app-error.ts";
import { poll } from "../../lib/wait.ts";
import type { StepContext } from "../../operations/plan.ts";
import { etcdView, ownPeerUrl } from "./datastore-view.ts";

export interface FirstStartDeps {
  readonly services: Pick<ServiceManager, "apply" | "start" | "stop" | "status" | "logs">;
  readonly members: Pick<EtcdMembers, "list">;
  /** The ID that the cluster gave the new member. */
  readonly id: bigint;
}

type Peers = Readonly<Record<string, string>>;

/** etcd has its log within a second; a machine that is short of everything takes longer. */
const startMs = 120_000;
const intervalMs = 100;
/** For the list, and again for a member that does not answer. */
const listMs = 6_000;
/** A member that lags behind may make it end once or twice although it was told right. */
const hopelessRestarts = 5;
const logLines = 5;

/**
 * A new member compares the members it is told with those that the others know, and ends when they differ. Others come and
 * go between our look and its first start, so it is told anew until it has begun its log; after that it asks nobody.
 * It takes its ID from what another member answers. One that has just come back is still reading its own log, and may answer
 * with a membership that was at this address before: whoever begins as that one is turned away for ever, so it begins again.
 */
export async function firstStart(view: NodeView, context: StepContext, deps: FirstStartDeps): Promise<void> {
  const { services, members } = deps;
  const datastore = etcdView(view);
  const self = { name: view.name, peerUrl: ownPeerUrl(view, datastore) };
  let told: string | undefined;

  async function tell(peers: Peers, signal: AbortSignal): Promise<void> {
    if (told !== undefined) {
      context.progress({ done: 0, of: 1, note: "starting etcd again: the cluster's members have changed" });
      await services.stop(etcd.name, signal);
    }
    const joining: NodeView = { ...view, datastore: { ...datastore, initialCluster: { state: "existing", peers } } };
    await services.apply(etcd.render(joining).service, signal);
    await services.start(etcd.name, signal);
    told = textOf(peers);
  }

  async function beginAgain(signal: AbortSignal): Promise<void> {
    context.progress({ done: 0, of: 1, note: "starting etcd again: it took itself for a member that was removed" });
    await services.stop(etcd.name, signal);
    await rm(join(dataOf(view), "member"), { recursive: true, force: true });
    told = undefined;
  }

  async function refuseToGoOn(signal: AbortSignal): Promise<void> {
    const { state, restarts = 0, reason = state } = await services.status(etcd.name, signal);
    if (state === "running" || restarts < hopelessRestarts) return;
    const lines = await services.logs(etcd.name, logLines, signal);
    throw new AppError("conflict", `cannot start etcd: ${reason}; its last lines: ${lines.join(" | ")}`, {
      remedy: "Look at the whole log of etcd, and at the extra arguments of the join configuration.",
    });
  }

  await poll(
    async (signal) => {
      const begun = told === undefined ? undefined : await readMemberId(dataOf(view));
      if (begun === deps.id) return true;
      if (begun !== undefined) await beginAgain(signal);
      const peers = initialCluster((await members.list({ signal, settled: true, timeoutMs: listMs })).members, self);
      if (told !== textOf(peers)) await tell(peers, signal);
      else await refuseToGoOn(signal);
      return undefined;
    },
    {
      what: "see etcd begin on this node",
      deadlineMs: startMs,
      signal: context.signal,
      intervalMs,
      remedy: "Look at the log of etcd.",
    },
  );
}

function textOf(peers: Peers): string {
  return JSON.stringify(Object.entries(peers).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** With a log of its own it does not look at what it is told any more. */
export async function hasLog(view: NodeView): Promise<boolean> {
  return (await readMemberId(dataOf(view))) !== undefined;
}

const dataOf = ({ paths }: NodeView): string => join(paths.etcd, "data");
