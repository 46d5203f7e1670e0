import type { LivenessChange } from "@k8sd/k8sd/mesh/liveness.ts";
import type { Head } from "@k8sd/k8sd/mesh/types.ts";
import { createWorld, type Node, type World } from "../sim/world.ts";

export interface Detection {
  /** From the crash until the first node knew, and until each of them did. */
  readonly firstMs: readonly number[];
  readonly eachMs: readonly number[];
  /** Live nodes that somebody took for dead. */
  readonly falsePositives: number;
}

const lan = { delayMs: [0.2, 3], loss: 0.01, duplicates: 0, stragglers: 0.001 } as const;
/** Until what nodes tell of themselves at their start is no news any more. */
const settleMs = 3_000;
const watchMs = 10_000;

interface Watched {
  liveness(observer: Node, change: LivenessChange): void;
  ledger(node: Node, head: Head): void;
}

const nothing: Watched = { liveness: () => {}, ledger: () => {} };

/** A cluster that has been up for a while: everybody knows everybody, and the crash is the only news. */
function startWorld(seed: number, nodes: number, loss: number, watched: Watched): World {
  const world = createWorld({ seed, nodes, controlPlanes: 3, ...lan, loss }, watched);
  for (const node of world.nodes) world.start(node);
  world.acquaint();
  world.events.runUntil(settleMs + world.dice.between(0, 2_000));
  return world;
}

/** Power-off of one node after the other, each in a cluster of its own. */
export function detect(nodes: number, runs: number): Detection {
  const firstMs: number[] = [];
  const eachMs: number[] = [];
  let falsePositives = 0;
  for (let seed = 0; seed < runs; seed++) {
    let crashedAt = Number.POSITIVE_INFINITY;
    let crashed: Node | undefined;
    const known: number[] = [];
    const world: World = startWorld(seed, nodes, lan.loss, {
      ...nothing,
      liveness: (_, { id, now }) => {
        if (now !== "dead") return;
        if (id === crashed?.id) known.push(world.events.now - crashedAt);
        else falsePositives++;
      },
    });
    crashed = world.dice.pick(world.nodes);
    crashedAt = world.events.now;
    world.crash(crashed);
    world.events.runUntil(crashedAt + watchMs);
    // Whoever does not know in time counts as the whole time.
    while (known.length < nodes - 1) known.push(watchMs);
    firstMs.push(Math.min(...known));
    eachMs.push(...known);
  }
  return { firstMs, eachMs, falsePositives };
}

/**
 * Lifeguard's experiment: a share of the nodes gets the processor only now and then (it runs for 20 to 200 ms, then
 * stands still for 0.2 to 2 s, all the time). @returns verdicts of "dead"; every one is false, because nobody is
 */
export function starve(nodes: number, share: number, seconds: number): { healthy: number; starved: number } {
  const wrong = { healthy: 0, starved: 0 };
  const starved = new Set<string>();
  const world = startWorld(1, nodes, lan.loss, {
    ...nothing,
    liveness: (_, { id, now }) => {
      if (now === "dead") wrong[starved.has(id) ? "starved" : "healthy"]++;
    },
  });
  for (const node of world.nodes.slice(0, Math.round(nodes * share))) {
    starved.add(node.id);
    const stall = (): void => {
      const pause = world.dice.between(200, 2_000);
      world.pause(node, pause);
      world.events.at(world.events.now + pause + world.dice.between(20, 200), stall);
    };
    world.events.at(world.events.now + world.dice.between(0, 2_000), stall);
  }
  world.events.runUntil(world.events.now + seconds * 1_000);
  return wrong;
}

/** @returns for each change, the time until the last node showed it */
export function spread(nodes: number, changes: number, loss: number): readonly number[] {
  const times: number[] = [];
  let shown = 0;
  let at = 0;
  const world: World = startWorld(2, nodes, lan.loss, {
    ...nothing,
    ledger: () => {
      shown++;
      if (shown === nodes) times.push(world.events.now - at);
    },
  });
  // A change travels as itself, however many records there are; a thousand of them would only cost the simulation time.
  const held = 50;
  const records = Array.from({ length: held }, (_, index) => ({
    key: `members/${index}`,
    value: `{"name":"node-${index}","addresses":["10.0.0.1:6401"],"role":"worker","state":"active"}`.padEnd(300),
    revision: 1,
  }));
  for (let revision = 1; revision <= changes; revision++) {
    records[revision % held] = { key: `members/${revision % held}`, value: `{"revision":${revision}}`, revision };
    shown = 0;
    at = world.events.now;
    world.node(0).core?.replica.publish({ epoch: 1, revision, records: [...records] });
    while (shown < nodes && world.events.now - at < 10_000) world.events.runUntil(world.events.now + 50);
    if (shown < nodes) times.push(10_000);
    // The loss is there for the changes; at 10 % it also keeps the detector busy, which only costs the simulation time.
    world.setLoss(loss);
  }
  // The first one is everything there is, to everybody: a new cluster, not a change.
  return times.slice(1);
}

/** Sent, while nothing happens. */
export function idleBytes(nodes: number, seconds: number): number {
  const world = startWorld(3, nodes, lan.loss, nothing);
  const sent = (): number => world.nodes.reduce((sum, node) => sum + node.sent, 0);
  const before = sent();
  world.events.runUntil(world.events.now + seconds * 1_000);
  return (sent() - before) / nodes / seconds;
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
