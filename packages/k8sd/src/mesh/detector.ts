import { assertNever } from "../lib/assert-never.ts";
import { encode } from "./codec.ts";
import { type DetectorOptions, retransmits, suspicionTimeout } from "./detector-options.ts";
import { createFarewell, type Farewell } from "./farewell.ts";
import { createGossip } from "./gossip.ts";
import type { Detector, DetectorDeps } from "./liveness.ts";
import { createMemberTable, type Entry, type Liveness, supersedes } from "./member-table.ts";
import type { DetectorMessage, Update } from "./messages.ts";
import { opinionOf, updateOf } from "./opinions.ts";
import { createProber } from "./prober.ts";
import { createRumours } from "./rumours.ts";
import { createTimers } from "./timers.ts";
import { type LivenessState, type NodeId, someOf } from "./types.ts";

const syncPart = 256;
/** An unasked answer to one node at most this often, and an exchange with any that came back. */
const repeatMs = 200;
const returnSyncMs = 500;

export function createDetector(
  options: DetectorOptions & { readonly self: NodeId; readonly incarnation: number },
  deps: DetectorDeps,
): Detector {
  const { clock, random, sender } = deps;
  const { self } = options;
  const table = createMemberTable(self);
  const rumours = createRumours();
  const me = table.add(self, clock.wallTime(), false);
  table.set(me, "alive", options.incarnation, clock.wallTime());
  const timers = createTimers(options, { clock, onPause: () => prober.blameSelf() });
  let syncedAt = Number.NEGATIVE_INFINITY;
  let farewell: Farewell | undefined;
  let started = false;

  const gossip = createGossip(options, {
    timers,
    random,
    sender,
    rumours,
    live: () => table.live(),
    awareness: () => prober.awareness,
    tell: (to) => send(to, options.updatesPerGossip, (from) => ({ type: "gossip", ...from })),
  });

  const prober = createProber(options, {
    clock,
    random,
    timers,
    table,
    sender,
    ping: (to, seq) => send(to, options.updatesPerProbe, (from) => ({ type: "ping", ...from, seq, head: deps.head() })),
    askToPing: (helper, target, seq) =>
      send(helper, options.updatesPerProbe, (from) => ({ type: "ping-request", ...from, seq, target })),
    tellNack: (to, seq) => send(to, 0, (from) => ({ type: "nack", ...from, seq })),
    tellRelayed: (to, seq) => send(to, 0, (from) => ({ type: "relayed", ...from, seq })),
    answered: (id, rttMs) => {
      deps.onProbed?.(id, rttMs !== undefined);
      const entry = table.get(id);
      if (entry === undefined || rttMs === undefined) return;
      // One part in eight, as TCP smooths its round-trip time.
      entry.rttMs = entry.rttMs === undefined ? rttMs : entry.rttMs + (rttMs - entry.rttMs) / 8;
    },
    silent: (id) => {
      deps.onProbed?.(id, false);
      const entry = table.get(id);
      if (entry !== undefined && farewell === undefined)
        apply({ id, state: "suspect", incarnation: entry.incarnation, by: self });
    },
  });

  function send(
    to: NodeId,
    count: number,
    build: (from: { incarnation: number; leaving: boolean; updates: readonly Update[] }) => DetectorMessage,
  ): void {
    const updates = [...opinionOf(table.get(to)), ...rumours.take(count, retransmits(options, table.size))];
    sender.send(to, encode(build({ incarnation: me.incarnation, leaving: farewell !== undefined, updates })));
  }

  function change(entry: Entry, state: LivenessState, incarnation: number): void {
    entry.suspicion?.cancel();
    entry.suspicion = undefined;
    const before = entry.state;
    table.set(entry, state, incarnation, clock.wallTime());
    if (before !== state) deps.onChange({ id: entry.id, before, now: state });
  }

  function apply(update: Update, bySync = false): void {
    const entry = table.get(update.id);
    if (entry === undefined) return;
    if (entry === me) refute(update);
    // Nobody has heard it yet, and it has time: who asks all the same has a clock that goes wrong.
    else if (entry.awaited && entry.state === "unknown" && update.incarnation === 0) return;
    else if (update.state === "suspect") suspect(entry, update);
    else if (supersedes(update, entry)) {
      const first = entry.state === "unknown";
      change(entry, update.state, update.incarnation);
      // What an exchange of everything brings to a node that has just started is no news to the others.
      if (first && bySync) return;
      const { id, state, incarnation } = update;
      gossip.spread({ id, state, incarnation }, first && state === "alive" ? "calm" : "urgent");
    }
  }

  function refute(update: Update): void {
    const state = farewell === undefined ? "alive" : "left";
    const own = { state, incarnation: me.incarnation } as const;
    if (update.incarnation < own.incarnation || update.state === "unknown") return;
    if (update.incarnation === own.incarnation && update.state === own.state) return;
    table.set(me, state, update.incarnation + 1, clock.wallTime());
    // Others had a reason to think so: this node was slow.
    if (update.state === "suspect") prober.blameSelf();
    gossip.object({ id: self, state, incarnation: me.incarnation });
  }

  function suspect(entry: Entry, update: Update): void {
    const { id, incarnation, by = self } = update;
    const running = entry.suspicion;
    if (running !== undefined && incarnation === entry.incarnation) {
      if (running.accusers.has(by) || running.accusers.size > options.confirmations) return;
      running.accusers.add(by);
      running.cancel();
      const timeout = suspicionTimeout(options, table.size, running.accusers.size - 1);
      running.cancel = timers.judge(Math.max(0, running.startedAt + timeout - clock.monotonic()), () => condemn(entry));
      gossip.spread({ id, state: "suspect", incarnation, by }, "urgent");
      return;
    }
    if (entry.state === "unknown" ? incarnation < entry.incarnation : !supersedes(update, entry)) return;
    change(entry, "suspect", incarnation);
    entry.suspicion = {
      startedAt: clock.monotonic(),
      accusers: new Set([by]),
      cancel: timers.judge(suspicionTimeout(options, table.size, 0), () => condemn(entry)),
    };
    gossip.spread({ id, state: "suspect", incarnation, by }, "urgent");
    // About so many others look for themselves at once: their word shortens the time, or their probe lets it object.
    if (by !== self && random.next() * table.size < 2 * options.confirmations) prober.probe(id);
  }

  function condemn(entry: Entry): void {
    change(entry, "dead", entry.incarnation);
    gossip.spread({ id: entry.id, state: "dead", incarnation: entry.incarnation }, "urgent");
  }

  function heard(entry: Entry, message: DetectorMessage): void {
    entry.lastContact = clock.wallTime();
    const before = entry.state;
    const earlier = entry.incarnation;
    if (!message.leaving) apply({ id: entry.id, state: "alive", incarnation: message.incarnation });
    for (const update of message.updates) apply(update, message.type === "states");
    // A higher incarnation from the node itself: it was started anew, or has objected to what was said of it.
    const returned = entry.state === "alive" && (before === "unknown" || entry.incarnation > earlier);
    if (returned) deps.onReturn(entry.id);
    const due = clock.monotonic() - entry.toldAt >= repeatMs;
    if (returned && clock.monotonic() - syncedAt >= returnSyncMs) {
      syncedAt = clock.monotonic();
      sync(entry.id);
    } else if (due && message.type !== "ping" && message.incarnation <= entry.incarnation && !message.leaving) {
      if (opinionOf(entry).length === 0) return;
      entry.toldAt = clock.monotonic();
      send(entry.id, 0, (from) => ({ type: "gossip", ...from }));
    }
  }

  function receive(from: NodeId, message: DetectorMessage): void {
    const entry = table.get(from);
    if (entry === undefined || entry === me) return;
    heard(entry, message);
    switch (message.type) {
      case "ping":
        deps.onHead(from, message.head);
        send(from, options.updatesPerProbe, (own) => ({
          type: "ack",
          ...own,
          seq: message.seq,
          head: deps.head(),
          wallTime: clock.wallTime(),
        }));
        break;
      case "ack":
        deps.onHead(from, message.head);
        entry.skewMs = message.wallTime - clock.wallTime() + (entry.rttMs ?? 0) / 2;
        prober.onAck(from, message.seq);
        farewell?.confirm(from);
        break;
      case "ping-request":
        if (table.get(message.target) !== undefined && message.target !== self)
          prober.onPingRequest(from, message.target, message.seq);
        break;
      case "nack":
        prober.onNack(from, message.seq);
        break;
      case "relayed":
        prober.onRelayed(from, message.seq);
        break;
      case "gossip":
        break;
      case "sync":
        if (message.digest !== table.digest) sendStates(from, [...table.entries()].map(updateOf), true);
        break;
      case "states":
        if (message.reply) answerStates(from, message.updates);
        break;
      default:
        assertNever(message);
    }
  }

  function sync(to: NodeId): void {
    send(to, options.updatesPerProbe, (from) => ({ type: "sync", ...from, digest: table.digest }));
  }

  function sendStates(to: NodeId, updates: readonly Update[], reply: boolean): void {
    for (let start = 0; start < updates.length; start += syncPart) {
      const part = updates.slice(start, start + syncPart);
      const from = { incarnation: me.incarnation, leaving: farewell !== undefined, updates: part };
      sender.send(to, encode({ type: "states", ...from, reply }));
    }
  }

  /** `apply` has taken what was newer there; what is newer here goes back. */
  function answerStates(to: NodeId, theirs: readonly Update[]): void {
    const better = theirs.flatMap((update) => {
      const entry = table.get(update.id);
      if (entry === undefined) return [];
      const own = updateOf(entry);
      return supersedes(own, { state: update.state, incarnation: update.incarnation }) ? [own] : [];
    });
    if (better.length > 0) sendStates(to, better, false);
  }

  function syncTick(): void {
    const [to] = someOf(table.live(), 1, sender, random);
    if (to !== undefined) sync(to);
    timers.after(options.syncIntervalMs * (0.5 + random.next()), syncTick);
  }

  return {
    start: () => {
      started = true;
      gossip.spread({ id: self, state: "alive", incarnation: me.incarnation }, "calm");
      prober.start();
      timers.after(options.syncIntervalMs * random.next(), syncTick);
    },
    stop: () => timers.stop(),
    setMembers: (members) => {
      const wanted = new Set<NodeId>();
      // Whom the first list names may wait for this node in turn; only those who came just now have not begun to speak.
      const first = !started || table.size === 1;
      for (const { id, cameAt = Number.NEGATIVE_INFINITY } of members) {
        wanted.add(id);
        if (table.get(id) !== undefined) continue;
        const soon = Math.min(options.newcomerMs, cameAt + options.newcomerMs - clock.wallTime());
        const patienceMs = first ? soon : options.newcomerMs;
        table.add(id, clock.wallTime(), patienceMs > 0);
        if (patienceMs > 0) timers.after(patienceMs, () => table.expect(id));
      }
      for (const { id } of [...table.entries()]) {
        if (id === self || wanted.has(id)) continue;
        table.delete(id)?.suspicion?.cancel();
        rumours.forget(id);
      }
    },
    receive,
    view: () => new Map([...table.entries()].map((entry) => [entry.id, livenessOf(entry)])),
    live: () => table.live(),
    hint: (id) => {
      const state = table.get(id)?.state;
      if (id !== self && (state === "alive" || state === "suspect")) prober.probe(id);
    },
    leave: (done) => {
      if (farewell !== undefined) return;
      farewell = createFarewell(options, {
        timers,
        random,
        live: () => table.live(),
        // The rumour may be spent on nodes that do not answer: each of these messages carries it again.
        tell: (id) => {
          rumours.add({ id: self, state: "left", incarnation: me.incarnation });
          prober.probe(id);
        },
        done,
      });
      table.set(me, "left", me.incarnation + 1, clock.wallTime());
      gossip.spread({ id: self, state: "left", incarnation: me.incarnation }, "urgent");
      farewell.start();
    },
    get incarnation() {
      return me.incarnation;
    },
    get awareness() {
      return prober.awareness;
    },
  };
}

function livenessOf({ state, incarnation, since, lastContact, rttMs, skewMs }: Entry): Liveness {
  return { state, incarnation, since, lastContact, rttMs, skewMs };
}
