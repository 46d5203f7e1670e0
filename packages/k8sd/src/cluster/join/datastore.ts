import { rm } from "node:fs/promises";
import type { Logger } from "pino";
import type { NodeView } from "../../components/component.ts";
import { etcd } from "../../components/etcd.ts";
import { createEtcdClient } from "../../datastore/client.ts";
import type { Member } from "../../datastore/datastore.ts";
import { createEtcdMembers } from "../../datastore/etcd-members.ts";
import type { EtcdMembers } from "../../datastore/etcd-members-types.ts";
import type { ServiceManager } from "../../host/services.ts";
import { errorText } from "../../lib/app-error.ts";
import { poll } from "../../lib/wait.ts";
import type { StepContext } from "../../operations/plan.ts";
import { clientTls } from "../connections.ts";
import { createLedger } from "../ledger.ts";
import { type EtcdView, etcdView, ownPeerUrl } from "./datastore-view.ts";
import { firstStart, hasLog } from "./first-start.ts";
import { isGivenUp } from "./given-up.ts";

export interface JoinDatastoreDeps {
  readonly services: Pick<ServiceManager, "apply" | "start" | "stop" | "status" | "logs">;
  readonly log: Logger;
}

/** A large store is sent whole to the new member; an hour of it would be more than etcd's limit of data. */
const catchUpMs = 30 * 60_000;
/** Joins queue: each takes seconds, and one that stands still gives its place up in ten minutes. */
const queueMs = 15 * 60_000;
/** A cluster that cannot answer takes the member out itself, when the hold of this node is over. */
const removeMs = 20_000;
/** The others may be in the middle of a restart; without this member's vote they would not come back. */
const removeVoterMs = 120_000;
/** For the list, and again for a member that does not answer. */
const listMs = 6_000;

/** This node becomes a voting member: without a vote first, until it has all that was written. */
export async function joinDatastore(view: NodeView, context: StepContext, deps: JoinDatastoreDeps): Promise<void> {
  const { signal } = context;
  const datastore = etcdView(view);
  const own = ownPeerUrl(view, datastore);
  await using members = await connectMembers(view, datastore);
  const onProgress: StepContext["progress"] = (progress) => context.progress(progress);
  const learner = await members.addLearner({
    name: view.name,
    peerUrls: [own],
    fresh: true,
    isAbandoned: (other) => isAbandoned(other, view, datastore, signal),
    signal,
    timeoutMs: queueMs,
    onProgress,
  });
  await firstStart(view, context, { services: deps.services, members, id: learner.id });
  await members.awaitCaughtUp(learner.id, { signal, timeoutMs: catchUpMs, onProgress });
  await members.promote(learner.id, { signal, onProgress });
}

/**
 * Takes the member out, then its data: one that forgot what it confirmed must never come back. A member that may have a vote
 * keeps running until it is out, because with one of two gone nothing is decided any more, its own removal neither.
 */
export async function leaveDatastore(view: NodeView, signal: AbortSignal, deps: JoinDatastoreDeps): Promise<void> {
  const datastore = etcdView(view);
  const mayVote = await hasLog(view);
  try {
    await using members = await connectMembers(view, datastore);
    const peer = { peerUrl: ownPeerUrl(view, datastore) };
    await poll(
      async (deadline) => {
        if (mayVote) await deps.services.start(etcd.name, deadline);
        const { members: all } = await members.list({ signal: deadline, timeoutMs: listMs, settled: true });
        if (!all.some(({ peerUrls }) => peerUrls.includes(peer.peerUrl))) return true;
        await members.remove(peer, { signal: deadline, timeoutMs: removeMs });
        return true;
      },
      { what: "take the member out of etcd", deadlineMs: mayVote ? removeVoterMs : removeMs, signal, intervalMs: 500 },
    );
  } catch (error) {
    signal.throwIfAborted();
    deps.log.warn(
      { error: errorText(error) },
      "Cannot take the member out of etcd; the cluster does when the join is over",
    );
  }
  await deps.services.stop(etcd.name, signal);
  await rm(view.paths.etcd, { recursive: true, force: true });
}

/** The client URLs of those who were members when the place was reserved. */
function endpointsOf(view: NodeView, { initialCluster: { peers }, clientPort }: EtcdView): readonly string[] {
  return Object.entries(peers)
    .filter(([name]) => name !== view.name)
    .map(([, url]) => `https://${new URL(url).hostname}:${clientPort}`);
}

async function connectMembers(view: NodeView, datastore: EtcdView): Promise<EtcdMembers> {
  return createEtcdMembers({ endpoints: endpointsOf(view, datastore), tls: await clientTls(view) });
}

/** A learner stands in the way: whether nobody is coming in as it. */
async function isAbandoned(
  learner: Member,
  view: NodeView,
  datastore: EtcdView,
  signal: AbortSignal,
): Promise<boolean> {
  await using client = createEtcdClient({ endpoints: endpointsOf(view, datastore), tls: await clientTls(view) });
  const [members, etcd] = await Promise.all([createLedger(client).members(signal), client.memberList({ signal })]);
  return isGivenUp(learner, { members, etcd, peerPort: datastore.peerPort, self: view.name });
}
