import type * as wire from "../../../../src/datastore/gen/etcd.ts";

export type Operation =
  | { readonly call: "range"; readonly request: wire.RangeRequest }
  | { readonly call: "put"; readonly request: wire.PutRequest }
  | { readonly call: "delete"; readonly request: wire.DeleteRangeRequest }
  | { readonly call: "txn"; readonly request: wire.TxnRequest }
  | { readonly call: "compact"; readonly request: wire.CompactionRequest }
  | { readonly call: "grant"; readonly request: wire.LeaseGrantRequest }
  | { readonly call: "revoke"; readonly request: wire.LeaseRevokeRequest }
  | { readonly call: "life"; readonly request: wire.LeaseTimeToLiveRequest };

/** mulberry32: the same seed gives the same program everywhere. */
export function createRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Operations over few keys and leases, so that they meet; about one in ten is refused. */
export function createProgram(random: (below: number) => number, revision: () => number): () => Operation {
  const chance = (oneIn: number) => random(oneIn) === 0;
  const keys = ["a", "aa", "ab", "b", "b/1", "b/2", "c", "\xff", "\xff\xff", "d\0"];
  const bytes = (text: string) => Buffer.from(text, "latin1");
  const key = () => (chance(60) ? bytes("") : bytes(keys[random(keys.length)] ?? "a"));
  const end = () => (chance(2) ? bytes("") : chance(4) ? bytes("\0") : key());
  const value = () => bytes(chance(8) ? "" : `v${random(6)}`);
  const lease = () => BigInt([0, 0, 0, 0, 0, 0, 101, 102, 103, 2 ** 62][random(10)] ?? 0);
  const near = () => Math.max(0, revision() + 2 - random(12));
  const sometimes = <T>(oneIn: number, make: () => T, other: T): T => (chance(oneIn) ? make() : other);

  const range = (): wire.RangeRequest => ({
    key: key(),
    rangeEnd: end(),
    limit: sometimes(3, () => random(5), 0),
    revision: sometimes(3, near, 0),
    sortOrder: sometimes(3, () => random(3), 0),
    sortTarget: sometimes(4, () => random(5), 0),
    serializable: chance(3),
    keysOnly: chance(5),
    countOnly: chance(8),
    minModRevision: sometimes(10, near, 0),
    maxModRevision: sometimes(10, near, 0),
    minCreateRevision: sometimes(10, near, 0),
    maxCreateRevision: sometimes(10, near, 0),
  });
  const put = (): wire.PutRequest => {
    const ignoreValue = chance(10);
    const ignoreLease = chance(10);
    return {
      key: key(),
      value: ignoreValue && !chance(4) ? bytes("") : value(),
      lease: ignoreLease && !chance(4) ? 0n : lease(),
      prevKv: chance(3),
      ignoreValue,
      ignoreLease,
    };
  };
  const remove = (): wire.DeleteRangeRequest => ({ key: key(), rangeEnd: end(), prevKv: chance(3) });
  // etcd itself crashes when an unbounded deletion and a put of a key it covers meet in one transaction.
  const boundedRemove = (): wire.DeleteRangeRequest => ({ ...remove(), rangeEnd: chance(2) ? key() : bytes("") });
  const compare = (): wire.Compare => {
    const target = random(5);
    const operands: NonNullable<wire.Compare["targetUnion"]>[] = [
      { $case: "version", value: BigInt(random(4)) },
      { $case: "createRevision", value: BigInt(chance(2) ? 0 : near()) },
      { $case: "modRevision", value: BigInt(chance(2) ? 0 : near()) },
      { $case: "value", value: value() },
      { $case: "lease", value: lease() },
    ];
    const targetUnion = operands[chance(12) ? random(5) : target];
    return { result: random(4), target, key: key(), rangeEnd: chance(4) ? end() : bytes(""), targetUnion };
  };
  const op = (depth: number): wire.RequestOp => {
    const kind = random(depth > 0 ? 8 : 7);
    if (kind < 3) return { request: { $case: "requestPut", value: put() } };
    if (kind < 5) return { request: { $case: "requestRange", value: range() } };
    if (kind < 7) return { request: { $case: "requestDeleteRange", value: boundedRemove() } };
    return { request: { $case: "requestTxn", value: txn(depth - 1) } };
  };
  const several = <T>(most: number, make: () => T): T[] => Array.from({ length: random(most + 1) }, make);
  const txn = (depth: number): wire.TxnRequest => ({
    compare: several(2, compare),
    success: several(3, () => op(depth)),
    failure: several(3, () => op(depth)),
  });

  return () => {
    const kind = random(100);
    if (kind < 25) return { call: "put", request: put() };
    if (kind < 50) return { call: "range", request: range() };
    if (kind < 60) return { call: "delete", request: remove() };
    if (kind < 90) return { call: "txn", request: txn(2) };
    if (kind < 93) return { call: "compact", request: { revision: near() - random(20), physical: chance(2) } };
    if (kind < 96) return { call: "grant", request: { ttl: 600 + random(3), id: lease() || 104n } };
    if (kind < 98) return { call: "revoke", request: { id: lease() } };
    return { call: "life", request: { id: lease(), keys: chance(2) } };
  };
}
