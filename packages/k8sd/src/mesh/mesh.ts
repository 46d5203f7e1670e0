import type { KeyObject } from "node:crypto";
import { lookup } from "node:dns/promises";
import { sleep } from "../lib/wait.ts";
import type { PeerCache } from "./address-book.ts";
import { createAuthority } from "./authority.ts";
import { type Core, type CoreMember, createCore } from "./core.ts";
import { type DetectorOptions, detectorDefaults } from "./detector-options.ts";
import { createFeed } from "./feed.ts";
import { meshIdentity, publicKeyOfPeer } from "./identity.ts";
import { createLibp2pTransport } from "./libp2p-transport.ts";
import type { LivenessChange } from "./liveness.ts";
import type { Liveness } from "./member-table.ts";
import type { LedgerEntry } from "./messages.ts";
import type { Resolve } from "./multiaddrs.ts";
import type { PeerReport, Problem } from "./reachability.ts";
import { type LedgerRevision, type ReplicaOptions, type ReplicaStore, replicaDefaults } from "./replica.ts";
import { createSystemClock, systemRandom } from "./system.ts";
import type { MeshCertificate } from "./tls-encrypter.ts";
import type { Transport } from "./transport.ts";
import type { Head, MeshClock, NodeId, Random } from "./types.ts";
import { createWays } from "./ways.ts";

/** A node of the ledger, as far as the mesh needs it. */
export interface MeshMember extends CoreMember {
  /** `meshIdentity(key).peerId`, which the node gave when it joined. */
  readonly peerId: string;
  /** May author ledger revisions: true for control planes alone. */
  readonly author: boolean;
}

export interface MeshOptions {
  readonly self: NodeId;
  readonly clusterId: string;
  /** IP addresses to listen on. */
  readonly hosts: readonly string[];
  readonly port: number;
  /** Under which others find this node. Without: each host with the port. */
  readonly addresses?: readonly string[];
  readonly detector?: Partial<DetectorOptions>;
  readonly replica?: Partial<ReplicaOptions>;
}

export interface MeshDeps {
  /** The node's own private key, or its PEM. */
  readonly nodeKey: KeyObject | string;
  /** In which it shows the key of its peer id. */
  readonly certificate: MeshCertificate;
  readonly store: ReplicaStore;
  readonly peers: PeerCache;
  readonly clock?: MeshClock;
  readonly random?: Random;
  readonly resolve?: Resolve;
}

/**
 * This node among the others: who is alive, and this node's copy of the ledger.
 *
 *   created ──start──► running ──leave──► leaving ──stop──► stopped
 *                         └──────────stop──────────────────────▲
 *
 * Members are the caller's to give, first from the join and then from the ledger or the copy of it, whichever is newer.
 */
export interface Mesh {
  readonly peerId: string;
  /** After `start`. */
  readonly port: number;
  start(): Promise<void>;
  /** May be called at any time, twice. */
  stop(): Promise<void>;
  /** The whole list, this node included. Who is not in it is disconnected and refused. */
  setMembers(members: readonly MeshMember[]): void;
  view(): ReadonlyMap<NodeId, Liveness>;
  changes(signal: AbortSignal): AsyncIterable<LivenessChange>;
  /** Control planes only. @returns false when a copy at least as new was there already */
  publish(revision: LedgerRevision): boolean;
  readonly replica: {
    readonly head: Head;
    readonly entries: ReadonlyMap<string, LedgerEntry>;
    /** Messages that were refused since the start: also those of a control plane that is not in the members yet. */
    readonly refused: number;
  };
  /** Each new head of the replica. */
  replicaChanges(signal: AbortSignal): AsyncIterable<Head>;
  /** Says good-bye, so that the others do not take the silence for a failure; at most two seconds. */
  leave(): Promise<void>;
  /** Every peer; those that cannot be reached are tried once more, to say why. */
  report(signal: AbortSignal): Promise<readonly PeerReport[]>;
}

/** Further events than this would be older than what `view` says anyway. */
const feedLimit = 4_096;
/** `k8s mesh` waits for it; a way that is not open after this is not open. */
const diagnoseMs = 3_000;
/** In a large cluster a node has not probed everybody yet: so many are, when a report is asked for, and so long it waits. */
const measured = { peers: 64, waitMs: 1_000, pollMs: 20 } as const;

export function createMesh(options: MeshOptions, deps: MeshDeps): Mesh {
  const identity = meshIdentity(deps.nodeKey);
  const clock = deps.clock ?? createSystemClock();
  const liveness = createFeed<LivenessChange>(feedLimit);
  const heads = createFeed<Head>(feedLimit);
  const ways = createWays(clock);
  const members = new Map<NodeId, MeshMember>();
  const idOfPeer = new Map<string, NodeId>();
  const authorKeys = new Map<NodeId, KeyObject>();
  let transport: Transport | undefined;
  let starting: Promise<void> | undefined;
  let stopped = false;
  let core: Core | undefined;

  const authority = createAuthority(
    { self: options.self, clusterId: options.clusterId },
    { key: identity.key, authorKey: (id) => authorKeys.get(id) },
  );

  async function open(): Promise<void> {
    transport = await createLibp2pTransport(
      { hosts: options.hosts, port: options.port, clusterId: options.clusterId },
      {
        identity,
        certificate: deps.certificate,
        resolve: deps.resolve ?? resolveWithSystem,
        now: () => clock.wallTime(),
        admitted: (peerId) => idOfPeer.has(peerId),
        addressesOf: (peerId) => core?.book.of(idOfPeer.get(peerId) ?? "") ?? [],
        onMessage: (peerId, message) => {
          const id = idOfPeer.get(peerId);
          if (id !== undefined && !stopped) core?.receive(id, message);
        },
        acceptsBroadcast: (message) => core?.acceptsBroadcast(message) ?? false,
        onDisconnect: (peerId) => {
          const id = idOfPeer.get(peerId);
          if (id !== undefined) core?.detector.hint(id);
        },
      },
    );
    const { port } = transport;
    core = createCore(
      {
        self: options.self,
        addresses: options.addresses ?? options.hosts.map((host) => joinAddress(host, port)),
        detector: { ...detectorDefaults, ...options.detector },
        replica: { ...replicaDefaults, ...options.replica },
      },
      {
        clock,
        random: deps.random ?? systemRandom,
        authority,
        store: deps.store,
        peers: deps.peers,
        sender: {
          send: (to, message) => {
            const member = members.get(to);
            if (member !== undefined) transport?.send(member.peerId, message);
          },
          connected: (ids) => ids.filter((id) => transport?.connected(members.get(id)?.peerId ?? "")),
        },
        broadcast: (message) => transport?.broadcast(message),
        onLiveness: (change) => liveness.push(change),
        onProbed: (id, answered) => {
          const peerId = members.get(id)?.peerId;
          if (peerId !== undefined && ways.isBroken(id, answered)) transport?.reset(peerId);
        },
        onLedger: (head) => heads.push(head),
      },
    );
    core.setMembers([...members.values()]);
    if (!stopped) core.detector.start();
  }

  function running(): Core {
    if (core === undefined) throw new Error("the mesh is not started");
    return core;
  }

  async function measureSome(signal: AbortSignal): Promise<void> {
    const { detector } = running();
    const unmeasured = () =>
      [...detector.view()].flatMap(([id, { state, rttMs }]) =>
        id !== options.self && state === "alive" && rttMs === undefined ? [id] : [],
      );
    const wanted = new Set(unmeasured().slice(0, measured.peers));
    for (const id of wanted) detector.hint(id);
    const until = clock.monotonic() + measured.waitMs;
    while (clock.monotonic() < until && unmeasured().some((id) => wanted.has(id))) await sleep(measured.pollMs, signal);
  }

  async function reportOf(id: NodeId, state: Liveness, signal: AbortSignal): Promise<PeerReport | undefined> {
    const member = members.get(id);
    if (member === undefined || transport === undefined || id === options.self) return undefined;
    const { peerId } = member;
    const facts = { id, peerId, addresses: running().book.of(id), ...state };
    const fine = state.state === "alive" || state.state === "left";
    if (fine && transport.problem(peerId) === undefined) return { ...facts, connected: transport.connected(peerId) };
    const found = await transport.diagnose(peerId, signal);
    const connected = transport.connected(peerId);
    const silent: Problem = { reason: "no-answer", detail: "connected, but it does not answer", at: clock.wallTime() };
    const problem = found ?? (fine ? undefined : silent);
    return problem === undefined ? { ...facts, connected } : { ...facts, connected, problem };
  }

  return {
    peerId: identity.peerId,
    get port() {
      return transport?.port ?? 0;
    },
    start: () => {
      starting ??= open();
      return starting;
    },
    stop: async () => {
      stopped = true;
      await starting?.catch(() => {
        // The caller of start has it.
      });
      core?.stop();
      await transport?.stop();
      transport = undefined;
    },
    setMembers: (wanted) => {
      members.clear();
      idOfPeer.clear();
      authorKeys.clear();
      for (const member of wanted) {
        members.set(member.id, member);
        idOfPeer.set(member.peerId, member.id);
        const key = member.author ? publicKeyOfPeer(member.peerId) : undefined;
        if (key !== undefined) authorKeys.set(member.id, key);
      }
      core?.setMembers(wanted);
      transport?.recheck().catch(() => {
        // Closing is a courtesy: messages of strangers are dropped, and each new connection is refused.
      });
    },
    view: () => running().detector.view(),
    changes: (signal) => liveness.read(signal),
    publish: (revision) => running().replica.publish(revision),
    get replica() {
      return running().replica;
    },
    replicaChanges: (signal) => heads.read(signal),
    leave: () => new Promise((resolve) => running().detector.leave(resolve)),
    report: async (signal) => {
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(diagnoseMs)]);
      await measureSome(signal);
      const peers = [...running().detector.view()].map(([id, state]) => reportOf(id, state, deadline));
      return (await Promise.all(peers)).flatMap((peer) => (peer === undefined ? [] : [peer]));
    },
  };
}

function joinAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

async function resolveWithSystem(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}
