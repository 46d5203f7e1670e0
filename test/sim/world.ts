import { decode, encode } from "@k8sd/k8sd/mesh/codec.ts";
import { type Core, createCore } from "@k8sd/k8sd/mesh/core.ts";
import { detectorDefaults } from "@k8sd/k8sd/mesh/detector-options.ts";
import type { LivenessChange } from "@k8sd/k8sd/mesh/liveness.ts";
import { replicaDefaults } from "@k8sd/k8sd/mesh/replica.ts";
import type { Head, MeshClock, NodeId } from "@k8sd/k8sd/mesh/types.ts";
import { createEvents, type Events } from "./events.ts";
import { createDice, type Dice } from "./random.ts";
import { createMemoryStore, simulatedAuthority } from "./simulated.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly controlPlanes: number;
  /** One way. */
  readonly delayMs: readonly [number, number];
  readonly loss: number;
  readonly duplicates: number;
  /** Share of messages that take ten times as long, and so arrive behind later ones. */
  readonly stragglers: number;
  readonly mutation?: Mutation;
}

/** A fault in the protocol itself, to prove that the checks find it. */
export type Mutation =
  | "deaf to suspicion"
  | "believes every author"
  | "forgets its replica"
  | "never pulls"
  | "silent leave"
  | "ghosts answer";

export interface Observer {
  liveness(observer: Node, change: LivenessChange): void;
  ledger(node: Node, head: Head): void;
}

export interface Node {
  readonly id: NodeId;
  readonly index: number;
  readonly controlPlane: boolean;
  core: Core | undefined;
  /** Virtual time since when it runs, is not paused and is in its side of the network: facts of the world, not its belief. */
  stableSince: number;
  downSince: number | undefined;
  leftSince: number | undefined;
  pausedUntil: number;
  side: number;
  sent: number;
  /** With whom it has a connection: a message got through in either direction since both run. */
  readonly links: Set<NodeId>;
}

export interface World {
  readonly events: Events;
  readonly dice: Dice;
  readonly nodes: readonly Node[];
  readonly options: WorldOptions;
  node(index: number): Node;
  start(node: Node): void;
  crash(node: Node): void;
  leave(node: Node, done: () => void): void;
  pause(node: Node, milliseconds: number): void;
  jumpClock(node: Node, milliseconds: number): void;
  /** Sides of the network by node; nodes on different sides do not reach each other. */
  split(sideOf: (node: Node) => number): void;
  /** A message as if it came from that node. */
  inject(from: Node, to: Node, bytes: Uint8Array): void;
  setLoss(loss: number): void;
  /** Every running node has heard of every other one, as in a cluster that has been up for a while. */
  acquaint(): void;
}

export function idOf(index: number): NodeId {
  return `00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`;
}

const addressOf = (index: number): string => `10.0.${index >> 8}.${index & 255}:6401`;

export function createWorld(options: WorldOptions, observer: Observer): World {
  const dice = createDice(options.seed);
  const events = createEvents();
  const stores = new Map<NodeId, ReturnType<typeof createMemoryStore>>();
  const clockOffsets = new Map<NodeId, number>();
  const held = new Map<NodeId, { timers: (() => void)[]; messages: (() => void)[] }>();
  let loss = options.loss;
  const nodes: Node[] = Array.from({ length: options.nodes }, (_, index) => ({
    id: idOf(index),
    index,
    controlPlane: index < options.controlPlanes,
    core: undefined,
    stableSince: 0,
    downSince: 0,
    leftSince: undefined,
    pausedUntil: 0,
    side: 0,
    sent: 0,
    links: new Set(),
  }));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const members = nodes.map(({ id, index }) => ({ id, addresses: [addressOf(index)] }));

  /** Runs it now, or when the node goes on: overdue timers first, then what waits in its sockets, as Node does. */
  function onNode(node: Node, core: Core, kind: "timers" | "messages", run: () => void): void {
    if (node.core !== core) return;
    const waiting = held.get(node.id);
    if (waiting === undefined) run();
    else
      waiting[kind].push(() => {
        // What ran before it may have ended the process.
        if (node.core === core) run();
      });
  }

  function clockOf(node: Node, current: () => Core): MeshClock {
    return {
      monotonic: () => events.now,
      wallTime: () => 1_700_000_000_000 + events.now + (clockOffsets.get(node.id) ?? 0),
      after: (milliseconds, run) => {
        const event = events.at(events.now + milliseconds, () =>
          onNode(node, current(), "timers", () => {
            if (!event.cancelled) run();
          }),
        );
        return () => {
          event.cancelled = true;
        };
      },
    };
  }

  function deliver(from: Node, to: Node, bytes: Uint8Array): void {
    from.sent += bytes.length;
    if (from.side !== to.side || dice.chance(loss)) return;
    const copies = dice.chance(options.duplicates) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delay = dice.between(...options.delayMs) * (dice.chance(options.stragglers) ? 10 : 1);
      events.at(events.now + delay, () => {
        const { core } = to;
        if (core === undefined) {
          if (options.mutation === "ghosts answer") ghost(to, from, bytes);
          return;
        }
        if (from.side !== to.side) return;
        if (from.core !== undefined) link(from, to);
        onNode(to, core, "messages", () => core.receive(from.id, mutate(to, bytes)));
      });
    }
  }

  function link(one: Node, other: Node): void {
    one.links.add(other.id);
    other.links.add(one.id);
  }

  function ghost(dead: Node, to: Node, bytes: Uint8Array): void {
    const message = decode(bytes);
    if (message?.type !== "ping") return;
    const { seq, head } = message;
    const answer = { type: "ack", seq, head, incarnation: 1, leaving: false, updates: [], wallTime: 0 } as const;
    const { core } = to;
    if (core !== undefined) onNode(to, core, "messages", () => core.receive(dead.id, encode(answer)));
  }

  function mutate(to: Node, bytes: Uint8Array): Uint8Array {
    if (options.mutation !== "deaf to suspicion") return bytes;
    const message = decode(bytes);
    if (message === undefined || !("updates" in message)) return bytes;
    return encode({ ...message, updates: message.updates.filter(({ id }) => id !== to.id) });
  }

  function start(node: Node): void {
    let store = stores.get(node.id);
    if (store === undefined || options.mutation === "forgets its replica") store = createMemoryStore();
    stores.set(node.id, store);
    const core: Core = createCore(
      { self: node.id, addresses: [addressOf(node.index)], detector: detectorDefaults, replica: replicaDefaults },
      {
        clock: clockOf(node, () => core),
        random: dice,
        sender: {
          send: (to, bytes) => {
            const target = byId.get(to);
            if (node.core !== core || target === undefined) return;
            if (options.mutation === "never pulls" && decode(bytes)?.type === "pull") return;
            deliver(node, target, bytes);
          },
          connected: (ids) => ids.filter((id) => node.links.has(id)),
        },
        authority: simulatedAuthority(node, byId, options.mutation === "believes every author"),
        store,
        peers: { load: () => [], save: () => {} },
        // Flooding by the transport only makes it faster; what holds without it holds with it.
        broadcast: () => {},
        onLiveness: (change) => observer.liveness(node, change),
        onLedger: (head) => observer.ledger(node, head),
      },
    );
    core.setMembers(members);
    node.core = core;
    node.downSince = undefined;
    node.leftSince = undefined;
    node.stableSince = events.now;
    held.delete(node.id);
    core.detector.start();
  }

  function crash(node: Node): void {
    node.core?.stop();
    for (const id of node.links) byId.get(id)?.links.delete(node.id);
    node.links.clear();
    node.core = undefined;
    node.downSince = events.now;
    held.delete(node.id);
  }

  return {
    events,
    dice,
    nodes,
    options,
    node: (index) => nodes[index] as Node,
    start,
    crash,
    leave: (node, done) => {
      if (node.core === undefined) return;
      node.leftSince = events.now;
      const stopped = (): void => {
        crash(node);
        done();
      };
      if (options.mutation === "silent leave") stopped();
      else node.core.detector.leave(stopped);
    },
    pause: (node, milliseconds) => {
      const until = events.now + milliseconds;
      if (node.core === undefined || held.has(node.id)) return;
      const waiting = { timers: [] as (() => void)[], messages: [] as (() => void)[] };
      held.set(node.id, waiting);
      node.pausedUntil = until;
      node.stableSince = until;
      events.at(until, () => {
        if (held.get(node.id) !== waiting) return;
        held.delete(node.id);
        for (const run of [...waiting.timers, ...waiting.messages]) run();
      });
    },
    jumpClock: (node, milliseconds) => {
      clockOffsets.set(node.id, (clockOffsets.get(node.id) ?? 0) + milliseconds);
    },
    split: (sideOf) => {
      for (const node of nodes) {
        const side = sideOf(node);
        if (side !== node.side) node.stableSince = Math.max(node.stableSince, events.now);
        node.side = side;
      }
    },
    inject: (from, to, bytes) => deliver(from, to, bytes),
    acquaint: () => {
      const running = nodes.flatMap(({ id, core }) => (core === undefined ? [] : [{ id, core }]));
      const updates = running.map(({ id, core }) => ({
        id,
        state: "alive" as const,
        incarnation: core.detector.incarnation,
      }));
      for (const [index, { core }] of running.entries()) {
        const from = running[(index + 1) % running.length];
        if (from === undefined) continue;
        const { incarnation } = from.core.detector;
        for (let start = 0; start < updates.length; start += 256) {
          const part = updates.slice(start, start + 256);
          core.receive(from.id, encode({ type: "states", incarnation, leaving: false, updates: part, reply: false }));
        }
      }
    },
    setLoss: (wanted) => {
      loss = wanted;
    },
  };
}
