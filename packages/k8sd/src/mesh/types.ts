/** The ledger's id of a node (a UUID). */
export type NodeId = string;

/** `unknown`: the ledger names the node, and nobody has told us yet how it is. */
export type LivenessState = "unknown" | "alive" | "suspect" | "dead" | "left";

/** Time as the protocols see it, so that a thousand nodes can run in one process on virtual time. */
export interface MeshClock {
  /** Milliseconds that never jump; the only time that timeouts are measured with. */
  monotonic(): number;
  /** Milliseconds since the Unix epoch, as wrong as the machine's clock is. */
  wallTime(): number;
  /** @returns a function that takes the call back */
  after(milliseconds: number, run: () => void): () => void;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
}

/** Messages may be lost, repeated, late and out of order; nothing here waits for them. */
export interface Sender {
  send(to: NodeId, message: Uint8Array): void;
  /** Those of them that a message reaches without a new connection. */
  connected(ids: readonly NodeId[]): readonly NodeId[];
}

/** How new a copy of the ledger is. A new epoch begins with a recovery and is newer than every revision of the one before. */
export interface Head {
  readonly epoch: number;
  readonly revision: number;
}

export const noHead: Head = { epoch: 0, revision: 0 };

export function isNewer(a: Head, b: Head): boolean {
  return a.epoch === b.epoch ? a.revision > b.revision : a.epoch > b.epoch;
}

/**
 * Some whom news are told. Those that are connected, where they are enough: a connection costs both sides as much as hundreds of
 * messages, and what is told to anybody gets around. Whom a node probes it does not choose, so everybody is connected to some.
 */
export function someOf(
  ids: readonly NodeId[],
  count: number,
  { connected }: Pick<Sender, "connected">,
  random: Random,
): NodeId[] {
  const near = connected(ids);
  return sample(near.length >= count ? near : ids, count, random);
}

/** `count` different items in random order, or fewer where there are fewer. */
export function sample<T>(items: readonly T[], count: number, random: Random): T[] {
  const size = items.length;
  if (count * 3 < size) {
    const picked = new Set<number>();
    while (picked.size < count) picked.add(Math.floor(random.next() * size));
    return [...picked].map((index) => items[index] as T);
  }
  return shuffled(items, random).slice(0, count);
}

export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const copy = [...items];
  for (let last = copy.length - 1; last > 0; last--) {
    const other = Math.floor(random.next() * (last + 1));
    [copy[last], copy[other]] = [copy[other] as T, copy[last] as T];
  }
  return copy;
}
