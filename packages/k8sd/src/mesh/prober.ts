import type { DetectorOptions } from "./detector-options.ts";
import type { MemberTable } from "./member-table.ts";
import type { Timers } from "./timers.ts";
import { type MeshClock, type NodeId, type Random, type Sender, sample, shuffled, someOf } from "./types.ts";

export interface ProberDeps {
  readonly clock: MeshClock;
  readonly random: Random;
  readonly timers: Timers;
  readonly table: MemberTable;
  readonly sender: Pick<Sender, "connected">;
  ping(to: NodeId, seq: number): void;
  askToPing(helper: NodeId, target: NodeId, seq: number): void;
  tellNack(to: NodeId, seq: number): void;
  tellRelayed(to: NodeId, seq: number): void;
  answered(id: NodeId, rttMs: number | undefined): void;
  silent(id: NodeId): void;
}

interface Probe {
  readonly target: NodeId;
  readonly sentAt: number;
  readonly helpers: Set<NodeId>;
  asked: number;
  cancel: () => void;
}

interface Relay {
  readonly to: NodeId;
  readonly seq: number;
  readonly target: NodeId;
  readonly cancel: () => void;
}

/** Probes one node after the other, itself and through others, and knows how far its own word can be trusted. */
export interface Prober {
  start(): void;
  probe(target: NodeId): void;
  onAck(from: NodeId, seq: number): void;
  onRelayed(from: NodeId, seq: number): void;
  onNack(from: NodeId, seq: number): void;
  onPingRequest(from: NodeId, target: NodeId, seq: number): void;
  /** Local health of Lifeguard: 0 is healthy; a node that finds itself slow gives others more time. */
  readonly awareness: number;
  blameSelf(): void;
}

/** A bound on what others can make this node remember; a healthy cluster has a handful at a time. */
const maxRelays = 1024;

export function createProber(options: DetectorOptions, deps: ProberDeps): Prober {
  const { clock, random, timers, table, sender } = deps;
  const probes = new Map<number, Probe>();
  const relays = new Map<number, Relay>();
  let nextSeq = 1;
  let round: NodeId[] = [];
  let slots = 0;
  let awareness = 0;

  const blame = (by: number): void => {
    awareness = Math.max(0, Math.min(options.awarenessMax, awareness + by));
  };
  const scale = (): number => awareness + 1;

  /** All in a small cluster; in a large one those next on the rings. */
  function watched(): readonly NodeId[] {
    const live = table.live();
    return live.length <= options.watchesAllUpTo ? live : table.neighbours(options.rings);
  }

  /** Round robin in an order that is shuffled each time: no node waits longer than two rounds. */
  function next(): NodeId | undefined {
    slots++;
    const dead = table.dead();
    if (dead.length > 0 && (slots % options.deadProbeEvery === 0 || table.live().length === 0)) {
      return sample(dead, 1, random)[0];
    }
    if (slots % options.anyProbeEvery === 0) return sample(table.live(), 1, random)[0];
    for (let rounds = 0; rounds < 2; rounds++) {
      for (let id = round.pop(); id !== undefined; id = round.pop()) {
        const state = table.get(id)?.state;
        if (state !== undefined && state !== "dead" && state !== "left") return id;
      }
      round = shuffled(watched(), random);
    }
    return undefined;
  }

  function tick(): void {
    const target = next();
    if (target !== undefined) probe(target);
    timers.after(options.probeIntervalMs * scale(), tick);
  }

  function probe(target: NodeId): void {
    const seq = nextSeq++;
    const period = options.probeIntervalMs * scale();
    const direct = Math.min(options.directTimeoutMs * scale(), period / 2);
    const running: Probe = {
      target,
      sentAt: clock.monotonic(),
      helpers: new Set(),
      asked: 0,
      cancel: timers.after(direct, () => {
        // Whether a node came back is no accusation: one's own probe is enough.
        const dead = table.get(target)?.state === "dead";
        const others = dead ? [] : table.live().filter((id) => id !== target);
        const helpers = someOf(others, options.indirectProbes, sender, random);
        running.asked = helpers.length;
        for (const helper of helpers) {
          running.helpers.add(helper);
          deps.askToPing(helper, target, seq);
        }
        running.cancel = timers.judge(period - direct, () => {
          probes.delete(seq);
          // Helpers that did not even say "no": the fault may be on this side.
          if (!dead) blame(running.asked === 0 ? 1 : running.helpers.size);
          deps.silent(target);
        });
      }),
    };
    probes.set(seq, running);
    deps.ping(target, seq);
  }

  return {
    start: () => {
      // Nodes that start together do not probe together.
      timers.after(options.probeIntervalMs * random.next(), tick);
    },
    probe,
    onAck: (from, seq) => {
      const relay = relays.get(seq);
      if (relay !== undefined && relay.target === from) {
        relays.delete(seq);
        relay.cancel();
        deps.tellRelayed(relay.to, relay.seq);
        return;
      }
      const running = probes.get(seq);
      if (running === undefined || running.target !== from) return;
      probes.delete(seq);
      running.cancel();
      blame(-1);
      deps.answered(from, clock.monotonic() - running.sentAt);
    },
    onRelayed: (from, seq) => {
      const running = probes.get(seq);
      if (running === undefined || !running.helpers.has(from)) return;
      probes.delete(seq);
      running.cancel();
      deps.answered(running.target, undefined);
    },
    onNack: (from, seq) => {
      probes.get(seq)?.helpers.delete(from);
    },
    onPingRequest: (from, target, seq) => {
      if (relays.size >= maxRelays) return;
      const own = nextSeq++;
      // The nack has to reach the asker before its period ends.
      const nack = timers.after(options.directTimeoutMs * 0.8, () => deps.tellNack(from, seq));
      const expire = timers.after(options.probeIntervalMs * (options.awarenessMax + 1), () => relays.delete(own));
      const cancel = (): void => {
        nack();
        expire();
      };
      relays.set(own, { to: from, seq, target, cancel });
      deps.ping(target, own);
    },
    get awareness() {
      return awareness;
    },
    blameSelf: () => blame(1),
  };
}
