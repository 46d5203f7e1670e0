import {
  type Back,
  type ClientStep,
  type CompareStep,
  createRandom,
  type DeleteStep,
  type KvStep,
  type Program,
  type PutStep,
  type Random,
  type RangeStep,
  type Step,
  type TxnStep,
  type WatchStep,
} from "./program.ts";

export const clients = 16;

/** At most twelve, see known-differences.ts about equal sort keys. */
const names = ["a", "aa", "ab", "b", "b/1", "b/2", "c", "\xff", "\xff\xff", "d\0"];

/** Where a program's keys and leases lie: everywhere, or within what belongs to one client. */
interface Space {
  readonly key: () => string;
  /** An end for an interval; may give an empty interval. */
  readonly end: () => string;
  /** An end that never means "everything after". */
  readonly boundedEnd: () => string;
  readonly lease: () => string;
  /** Instead of 0, which would have the server choose. */
  readonly spareLease: string;
  /** The lowest key of the space. */
  readonly first: string;
}

function wholeSpace(random: Random): Space {
  const key = () => (random(60) === 0 ? "" : pick(random, names));
  const end = () => (random(2) === 0 ? "" : random(4) === 0 ? "\0" : key());
  const ids = ["0", "0", "0", "0", "0", "0", "101", "102", "103", String(2n ** 62n)];
  const boundedEnd = () => (random(2) === 0 ? key() : "");
  return { key, end, boundedEnd, lease: () => pick(random, ids), spareLease: "104", first: "" };
}

/** Keys of one client, in the order of which no other client's lies. */
export const prefixOf = (client: number): string => `c${String(client).padStart(2, "0")}/`;
export const prefixEndOf = (client: number): string => `c${String(client).padStart(2, "0")}0`;

function ownSpace(random: Random, client: number): Space {
  const prefix = prefixOf(client);
  const key = () => (random(60) === 0 ? "" : prefix + pick(random, names));
  const end = () => {
    const kind = random(4);
    return kind < 2 ? "" : kind === 2 ? prefixEndOf(client) : prefix + pick(random, names);
  };
  const ids = ["0", "0", "0", "0", "0", ...["1", "2", "3"].map((id) => `${client + 1}0${id}`)];
  return { key, end, boundedEnd: end, lease: () => pick(random, ids), spareLease: `${client + 1}04`, first: prefix };
}

const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)] as T;

/** Few keys and leases, so that operations meet; about one in ten is refused. */
export function generateProgram(mode: Program["mode"], seed: number, count: number): Program {
  const random = createRandom(seed);
  const steps: ClientStep[] = [];
  const makers =
    mode === "ordered"
      ? [createSteps(random, wholeSpace(random), true)]
      : Array.from({ length: clients }, (_, client) => createSteps(random, ownSpace(random, client), false));
  for (let at = 0; at < count; at++) {
    const client = random(clients);
    const make = makers[client % makers.length] as () => Step;
    steps.push({ client, step: make() });
  }
  return { mode, seed, steps };
}

function createSteps(random: Random, space: Space, alone: boolean): () => Step {
  const chance = (oneIn: number) => random(oneIn) === 0;
  const sometimes = <T>(oneIn: number, make: () => T, other: T): T => (chance(oneIn) ? make() : other);
  const near = (): Back => random(12) - 2;
  const value = () => (chance(8) ? "" : `v${random(6)}`);

  const range = (): RangeStep => ({
    call: "range",
    key: space.key(),
    end: space.end(),
    limit: sometimes(3, () => random(5), 0),
    at: sometimes(3, near, null),
    order: sometimes(3, () => random(chance(40) ? 4 : 3), 0),
    target: sometimes(4, () => random(chance(40) ? 6 : 5), 0),
    serializable: chance(3),
    keysOnly: chance(5),
    countOnly: chance(8),
    minMod: sometimes(10, near, null),
    maxMod: sometimes(10, near, null),
    minCreate: sometimes(10, near, null),
    maxCreate: sometimes(10, near, null),
  });
  const put = (): PutStep => {
    const ignoreValue = chance(10);
    const ignoreLease = chance(10);
    return {
      call: "put",
      key: space.key(),
      value: ignoreValue && !chance(4) ? "" : value(),
      lease: ignoreLease && !chance(4) ? "0" : space.lease(),
      prevKv: chance(3),
      ignoreValue,
      ignoreLease,
    };
  };
  const remove = (end: () => string): DeleteStep => ({
    call: "delete",
    key: space.key(),
    end: end(),
    prevKv: chance(3),
  });
  const compare = (): CompareStep => {
    const target = random(chance(60) ? 6 : 5);
    const operands: CompareStep["operand"][] = [
      { kind: "version", value: random(4) },
      { kind: "create", back: chance(2) ? null : near() },
      { kind: "mod", back: chance(2) ? null : near() },
      { kind: "value", value: value() },
      { kind: "lease", value: space.lease() },
      { kind: "none" },
    ];
    const operand = operands[chance(12) ? random(6) : target] ?? { kind: "none" };
    return { key: space.key(), end: chance(4) ? space.end() : "", result: random(4), target, operand };
  };
  const op = (depth: number): KvStep => {
    const kind = random(depth > 0 ? 8 : 7);
    if (kind < 3) return put();
    if (kind < 5) return range();
    // Bounded: see "unbounded deletion in a transaction" in known-differences.ts.
    return kind < 7 ? remove(space.boundedEnd) : txn(depth - 1);
  };
  const several = <T>(most: number, make: () => T): T[] => Array.from({ length: random(most + 1) }, make);
  const txn = (depth: number): TxnStep => ({
    call: "txn",
    compare: several(2, compare),
    success: several(3, () => op(depth)),
    failure: several(3, () => op(depth)),
  });
  const watch = (): WatchStep => ({
    call: "watch",
    key: space.key() || space.first,
    end: space.end(),
    // Beside others nobody knows which revision the next one will be.
    from: sometimes(2, () => random(16) - (alone ? 3 : 0), null),
    filters: pick(random, [[], [], [], [0], [1], [0, 1]]),
    prevKv: chance(2),
    fragment: chance(2),
    id: chance(8) ? 1 + random(6) : 0,
  });

  const lease = (): Step => {
    const kind = random(alone ? 9 : 8);
    const id = space.lease();
    const ttl = chance(20) ? 9_000_000_001 : 600 + random(3);
    if (kind < 3) return { call: "grant", id: id === "0" ? space.spareLease : id, ttl };
    if (kind < 5) return { call: "revoke", id };
    if (kind < 6) return { call: "keepalive", id };
    return kind < 8 ? { call: "life", id, keys: chance(2) } : { call: "leases" };
  };

  return () => {
    const kind = random(1000);
    if (kind < 250) return put();
    if (kind < 500) return range();
    if (kind < 600) return remove(space.end);
    if (kind < 880) return txn(2);
    if (kind < 960) return lease();
    if (kind < 985) return watch();
    if (!alone) return put();
    if (kind < 990) return { call: "cancel", id: 1 + random(5) };
    if (kind < 995) return { call: "progress" };
    return { call: "compact", at: random(40) - 4, physical: chance(2) };
  };
}
