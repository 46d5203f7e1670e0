import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { BootstrapInput } from "../cluster/bootstrap/plan.ts";
import { meshAddresses, meshMembers, meshPort } from "../cluster/mesh/peers.ts";
import { fromRecords, type LedgerView, toRevision } from "../cluster/mesh/records.ts";
import type { MeshState } from "../cluster/mesh/status.ts";
import type { NodeKey } from "../cluster/node-key.ts";
import type { Roster } from "../cluster/roster.ts";
import { errorText } from "../lib/app-error.ts";
import { sleep, untilAborted } from "../lib/wait.ts";
import type { PeerCache } from "../mesh/address-book.ts";
import type { Liveness } from "../mesh/member-table.ts";
import type { Mesh, MeshMember } from "../mesh/mesh.ts";
import type { ReplicaStore } from "../mesh/replica.ts";
import { type Reconciler, runReconciler } from "./loop.ts";
import { meshTurn } from "./mesh-turn.ts";

export interface MemberMeshDeps {
  readonly nodeKey: Pick<NodeKey, "privateKey" | "meshCertificate">;
  readonly roster: Pick<Roster, "members" | "replace" | "heard" | "onChange">;
  readonly store: ReplicaStore;
  readonly peers: PeerCache;
  readonly log: Logger;
  readonly now: () => number;
}

/**
 * The mesh of this node for as long as it is a member. A cluster of one has none: libp2p is read, a third of the daemon's
 * memory, when there is a second member.
 */
export interface MemberMesh {
  /** Until the signal; then says good-bye. */
  run(input: BootstrapInput, signal: AbortSignal): Promise<void>;
  /** On control planes: what the ledger says now. Spread when there is a mesh. */
  publish(view: LedgerView): void;
  /** What this node believes of the others; undefined without a mesh. */
  liveness(): ReadonlyMap<string, Liveness> | undefined;
  /** That others go by who are alive and were just heard of; undefined where nobody was. */
  epoch(): number | undefined;
  /** True while this node's copy of the ledger is as new as that of a live control plane. */
  isCurrent(): boolean;
  state(signal: AbortSignal): Promise<MeshState>;
}

interface Running {
  readonly mesh: Mesh;
  readonly stop: AbortController;
  readonly readers: Promise<unknown>;
  members: readonly MeshMember[];
}

/** Live peers are heard of every second in a small cluster, and by gossip in a large one. */
const silentMs = 15_000;
/**
 * Between two revisions that are spread: of many nodes that come at once the others hear together, because each revision
 * costs every node a message or two and a write to its disk.
 */
const spreadEveryMs = 1_000;

export function createMemberMesh(deps: MemberMeshDeps): MemberMesh {
  const { roster, log } = deps;
  let running: Running | undefined;
  let latest: LedgerView | undefined;
  let off = "this node is not a member";
  let refusedBefore = 0;
  let spreading: NodeJS.Timeout | undefined;
  let spreadAt = Number.NEGATIVE_INFINITY;

  function spread(): void {
    spreading ??= setTimeout(spreadNow, Math.max(0, spreadAt + spreadEveryMs - performance.now()));
  }

  function spreadNow(): void {
    spreading = undefined;
    if (running === undefined || latest === undefined) return;
    spreadAt = performance.now();
    try {
      running.mesh.publish(toRevision(latest));
    } catch (error) {
      log.warn({ error: errorText(error) }, "Cannot spread the ledger");
    }
  }

  async function open(input: BootstrapInput, members: readonly MeshMember[]): Promise<void> {
    const { nodeId, clusterId, view } = input;
    const { createMesh } = await import("../mesh/mesh.ts");
    const mesh = createMesh(
      {
        self: nodeId,
        clusterId,
        hosts: view.addresses,
        port: meshPort(view.k8sdAddress),
        addresses: meshAddresses(view),
      },
      {
        nodeKey: deps.nodeKey.privateKey,
        certificate: deps.nodeKey.meshCertificate(new Date(deps.now())),
        store: deps.store,
        peers: deps.peers,
      },
    );
    mesh.setMembers(members);
    try {
      await mesh.start();
    } catch (error) {
      await mesh.stop();
      throw error;
    }
    const stop = new AbortController();
    const readers = Promise.all([follow(mesh, input, stop.signal), logChanges(mesh, stop.signal)]);
    running = { mesh, stop, readers, members };
    refusedBefore = 0;
    log.info({ peer: mesh.peerId, port: mesh.port, members: members.length }, "The mesh runs");
    spread();
  }

  /** On a worker the copy is what it knows of the cluster; a control plane reads the ledger itself. */
  async function follow(mesh: Mesh, { nodeId, view, config }: BootstrapInput, signal: AbortSignal): Promise<void> {
    if (view.role !== "worker") return;
    for await (const _head of mesh.replicaChanges(signal)) {
      const members = fromRecords(mesh.replica.entries, config);
      // A copy from before this node came in; that it is out is said by a control plane itself.
      if (members.some(({ id }) => id === nodeId)) roster.replace(members);
    }
  }

  async function logChanges(mesh: Mesh, signal: AbortSignal): Promise<void> {
    for await (const { id, before, now } of mesh.changes(signal)) {
      const name = roster.members().find((member) => member.id === id)?.name;
      if (now === "dead" || before === "dead")
        log.info({ member: name ?? id, before, now }, "A member's state changed");
    }
  }

  async function close(): Promise<void> {
    const closing = running;
    running = undefined;
    clearTimeout(spreading);
    spreading = undefined;
    if (closing === undefined) return;
    await closing.mesh.leave();
    closing.stop.abort();
    await closing.readers;
    await closing.mesh.stop();
  }

  const keep = (input: BootstrapInput): Reconciler => ({
    name: "mesh",
    reconcile: async (signal) => {
      const over = new AbortController();
      // Asked for before the members are looked at, so that no change is missed.
      const forget = roster.onChange(() => over.abort());
      try {
        await adjust(input, signal);
        await untilAborted(AbortSignal.any([signal, over.signal]));
      } finally {
        forget();
      }
      return 0;
    },
  });

  /** There is a mesh when there is somebody to talk to, and it admits whom the cluster does. */
  async function adjust(input: BootstrapInput, signal: AbortSignal): Promise<void> {
    const members = meshMembers(roster.members());
    const inside = members.some(({ id }) => id === input.nodeId);
    if (!inside || members.length === 1) {
      off = inside ? "this node is the only member" : "the cluster has not told yet who is in it";
      await close();
    } else if (running === undefined) {
      const turnMs = meshTurn(input.nodeId, roster.members(), deps.now(), Math.random());
      off =
        turnMs === 0 ? "it starts" : `it starts within ${Math.ceil(turnMs / 1000)} s, after others that come in now`;
      await sleep(turnMs, signal);
      await open(input, meshMembers(roster.members())).catch((error: unknown) => {
        off = errorText(error);
        throw error;
      });
    } else if (!isDeepStrictEqual(running.members, members)) {
      running.members = members;
      running.mesh.setMembers(members);
      spread();
    }
  }

  return {
    run: async (input, signal) => {
      try {
        await runReconciler(keep(input), log, signal);
      } finally {
        await close();
        latest = undefined;
        off = "this node is not a member";
      }
    },
    publish: (view) => {
      latest = view;
      spread();
    },
    liveness: () => running?.mesh.view(),
    epoch: () => {
      if (running === undefined || deps.now() - lastHeard(running.mesh) >= silentMs) return undefined;
      const { epoch, revision } = running.mesh.replica.head;
      return revision === 0 ? undefined : epoch;
    },
    isCurrent: () => {
      if (running === undefined) return false;
      const { mesh, members } = running;
      // Somebody authors whom this node does not know yet.
      const { refused } = mesh.replica;
      const doubted = refused > refusedBefore;
      refusedBefore = refused;
      if (doubted || mesh.replica.head.revision === 0) return false;
      const view = mesh.view();
      const authors = members.filter(({ author, id }) => author && view.get(id)?.state === "alive");
      const heardAt = lastHeard(mesh);
      const current = authors.length > 0 && deps.now() - heardAt < silentMs;
      if (current) roster.heard(heardAt);
      return current;
    },
    state: async (signal) => {
      if (running === undefined) return { off, head: { epoch: 0, revision: 0 }, peers: [] };
      const { mesh } = running;
      const { epoch, revision } = mesh.replica.head;
      return { off: undefined, head: { epoch, revision }, peers: await mesh.report(signal) };
    },
  };
}

/** Of anybody who is alive. Milliseconds since the Unix epoch; 0: of nobody. */
function lastHeard(mesh: Mesh): number {
  const views = [...mesh.view().values()];
  return Math.max(0, ...views.map(({ state, lastContact = 0 }) => (state === "alive" ? lastContact : 0)));
}
