import { createHash } from "node:crypto";
import { encode } from "@k8sd/k8sd/mesh/codec.ts";
import type { LedgerEntry } from "@k8sd/k8sd/mesh/messages.ts";
import { createChecks } from "./checks.ts";
import { createDice, type Dice } from "./random.ts";
import { createWorld, type Mutation, type Node, type World } from "./world.ts";

export interface Outcome {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly nodes: number;
  readonly revisions: number;
}

/** Faults happen until then; after it the network heals, and everybody has to agree. */
const faultsUntil = 30_000;
/** Longer than a suspicion that nobody confirms at 50 nodes, a probe of the dead by each side, and a pull. */
const healedAfter = 25_000;

/** One run, decided by its seed alone. */
export function runScenario(seed: number, mutation?: Mutation): Outcome {
  const dice = createDice(seed ^ 0x5eed);
  // Small clusters are the common ones and the fast ones; every tenth run is a large one.
  const count = dice.chance(0.1) ? dice.whole(26, 50) : dice.whole(5, 25);
  const delay = dice.between(0.5, 10);
  const checks = createChecks();
  const world = createWorld(
    {
      seed,
      nodes: count,
      controlPlanes: dice.pick([1, 3, 3, 5]),
      delayMs: [delay, delay * dice.between(1, 5)],
      loss: dice.pick([0, 0.01, 0.05, 0.1, 0.2]),
      duplicates: dice.pick([0, 0.05]),
      stragglers: dice.pick([0, 0.05]),
      ...(mutation === undefined ? {} : { mutation }),
    },
    checks,
  );
  checks.watch(world);
  const ledger = createLedger(world, dice, checks.published);
  for (const node of world.nodes) world.events.at(dice.between(0, 1_000), () => world.start(node));
  planFaults(world, dice);
  planForgeries(world, dice);
  for (let at = 2_000; at < faultsUntil; at += dice.between(500, 4_000)) world.events.at(at, ledger.change);
  for (let at = 1_000; at < faultsUntil + healedAfter; at += 1_000) {
    world.events.runUntil(at);
    checks.sample();
    if (at === faultsUntil) heal(world);
  }
  world.events.runUntil(faultsUntil + healedAfter);
  checks.final(ledger.current());
  return { seed, violations: checks.violations, nodes: count, revisions: ledger.current().revision };
}

export interface Truth {
  readonly epoch: number;
  readonly revision: number;
  readonly records: readonly LedgerEntry[];
}

/** Stands for the datastore: a sequence of revisions, which control planes read when they can. */
function createLedger(world: World, dice: Dice, published: (truth: Truth) => void) {
  let records = new Map<string, LedgerEntry>();
  let epoch = 1;
  let revision = 1;
  const current = (): Truth => ({ epoch, revision, records: [...records.values()] });

  function read(node: Node): void {
    const truth = current();
    if (node.core === undefined || node.pausedUntil > world.events.now || node.leftSince !== undefined) return;
    published(truth);
    node.core.replica.publish(truth);
  }

  const controlPlanes = world.nodes.filter((node) => node.controlPlane);
  // A restarted control plane finds the newest revision when it reads again.
  for (const node of controlPlanes) {
    for (let at = 1_500; at < faultsUntil + healedAfter; at += 3_000) world.events.at(at, () => read(node));
  }

  return {
    current,
    change: (): void => {
      revision += dice.whole(1, 3);
      if (dice.chance(0.03)) {
        // A recovery: a new epoch, and revisions that may begin lower.
        epoch++;
        revision = dice.whole(1, revision);
        records = new Map([...records.values()].map((entry) => [entry.key, { ...entry, revision }]));
      }
      const keys = [...records.keys()];
      if (keys.length > 3 && dice.chance(0.2)) records.delete(dice.pick(keys));
      for (let changed = dice.whole(1, 3); changed > 0; changed--) {
        const key = `members/${dice.whole(1, 30)}`;
        const value = JSON.stringify({ revision, padding: "x".repeat(dice.pick([10, 300, 6_000])) });
        records.set(key, { key, value, revision });
      }
      for (const node of controlPlanes) world.events.at(world.events.now + dice.between(1, 800), () => read(node));
    },
  };
}

function planFaults(world: World, dice: Dice): void {
  const { events } = world;
  const someNode = (): Node => dice.pick(world.nodes);
  for (let at = 3_000; at < faultsUntil - 3_000; at += dice.between(1_000, 8_000)) {
    const kind = dice.pick([
      "pause",
      "pause",
      "split",
      "restart",
      "restart",
      "crash",
      "leave",
      "clock",
      "loss",
    ] as const);
    events.at(at, () => {
      const node = someNode();
      switch (kind) {
        case "pause":
          for (let count = dice.whole(1, 3); count > 0; count--) world.pause(someNode(), dice.between(300, 8_000));
          break;
        case "split": {
          const share = dice.between(0.1, 0.5);
          const cut = new Set(world.nodes.filter(() => dice.chance(share)));
          world.split((each) => (cut.has(each) ? 1 : 0));
          events.at(events.now + dice.between(500, 10_000), () => world.split(() => 0));
          break;
        }
        case "restart":
          if (node.core === undefined) break;
          world.crash(node);
          events.at(events.now + dice.between(100, 8_000), () => restart(world, node));
          break;
        case "crash":
          // Somebody has to stay who knows, and one control plane has to come back.
          if (node.index > 0 && world.nodes.filter(({ core }) => core !== undefined).length > 4) world.crash(node);
          break;
        case "leave":
          if (node.index > 0 && node.core !== undefined) world.leave(node, () => {});
          break;
        case "clock":
          world.jumpClock(node, dice.between(-3_600_000, 3_600_000));
          break;
        case "loss": {
          world.setLoss(dice.between(0.1, 0.5));
          events.at(events.now + dice.between(500, 3_000), () => world.setLoss(world.options.loss));
        }
      }
    });
  }
}

function restart(world: World, node: Node): void {
  if (node.core === undefined) world.start(node);
}

function heal(world: World): void {
  world.split(() => 0);
  world.setLoss(Math.min(world.options.loss, 0.1));
  const first = world.node(0);
  if (first.core === undefined) world.start(first);
}

/** A worker that lies: heads it may not sign, and true heads with other records. */
function planForgeries(world: World, dice: Dice): void {
  const liar = world.nodes.at(-1);
  if (liar === undefined || liar.controlPlane) return;
  for (let at = 4_000; at < faultsUntil; at += dice.between(1_000, 4_000)) {
    world.events.at(at, () => {
      const { core } = liar;
      const signed = core?.replica.signed;
      if (core === undefined || signed === undefined) return;
      const entries = [{ key: "members/1", value: "forged", revision: signed.revision + 1 }];
      const own = { ...signed, revision: signed.revision + 1, author: dice.chance(0.5) ? liar.id : signed.author };
      const root = dice.chance(0.5) ? signed.root : rootOfOne(entries[0] as LedgerEntry);
      const base = dice.chance(0.5) ? core.replica.head : undefined;
      const forged = encode({
        type: "chunk",
        head: { ...own, root },
        base,
        after: "",
        last: true,
        entries,
        removed: [],
      });
      for (let count = 0; count < 3; count++) world.inject(liar, dice.pick(world.nodes), forged);
    });
  }
}

function rootOfOne({ key, value, revision }: LedgerEntry): Uint8Array {
  const hash = createHash("sha256").update(`${key.length} ${value.length} ${revision} ${key}${value}`).digest();
  return createHash("sha256").update(hash).digest();
}
