import type { Update } from "./messages.ts";
import { nextOnRings } from "./rings.ts";
import type { LivenessState, NodeId } from "./types.ts";

/** What this node believes of one node. */
export interface Liveness {
  readonly state: LivenessState;
  readonly incarnation: number;
  /** Wall time of the last change of state, and of the last message from the node itself. */
  readonly since: number;
  readonly lastContact: number | undefined;
  /** Smoothed, of answered probes. */
  readonly rttMs: number | undefined;
  /** The node's clock minus ours, from its last answer. */
  readonly skewMs: number | undefined;
}

export interface Suspicion {
  readonly startedAt: number;
  /** The first accuser and those who confirmed. */
  readonly accusers: Set<NodeId>;
  cancel: () => void;
}

export interface Entry {
  readonly id: NodeId;
  readonly hash: number;
  state: LivenessState;
  incarnation: number;
  since: number;
  lastContact: number | undefined;
  rttMs: number | undefined;
  skewMs: number | undefined;
  suspicion: Suspicion | undefined;
  /** New in the ledger: it speaks first. */
  awaited: boolean;
  /** Monotonic time of the last unasked message that told the node what is believed of it. */
  toldAt: number;
}

const rank: Readonly<Record<LivenessState, number>> = { unknown: 0, alive: 1, suspect: 2, dead: 3, left: 4 };

/** True when `update` is to be believed over what is known: a higher incarnation, or within one the worse news. */
export function supersedes(
  update: Pick<Update, "state" | "incarnation">,
  known: Pick<Entry, "state" | "incarnation">,
): boolean {
  if (update.state === "unknown") return false;
  if (known.state === "unknown") return true;
  if (update.incarnation !== known.incarnation) return update.incarnation > known.incarnation;
  return rank[update.state] > rank[known.state];
}

/** The nodes of the ledger. Who is not in here does not exist for the detector. */
export interface MemberTable {
  readonly size: number;
  get(id: NodeId): Entry | undefined;
  entries(): Iterable<Entry>;
  add(id: NodeId, now: number, awaited: boolean): Entry;
  /** It had its time to speak first. */
  expect(id: NodeId): void;
  delete(id: NodeId): Entry | undefined;
  set(entry: Entry, state: LivenessState, incarnation: number, now: number): void;
  /** All others that are neither dead nor gone, nor awaited: whom to talk to. */
  live(): readonly NodeId[];
  dead(): readonly NodeId[];
  /** Those of `live` that are next to this node on so many rings. */
  neighbours(rings: number): readonly NodeId[];
  /** Equal on two nodes that believe the same of everybody; a suspicion is no belief yet. */
  readonly digest: number;
}

export function createMemberTable(self: NodeId): MemberTable {
  const table = new Map<NodeId, Entry>();
  let digest = 0;
  let live: NodeId[] | undefined;
  let dead: NodeId[] | undefined;

  const changed = (): void => {
    live = undefined;
    dead = undefined;
  };
  const others = (wanted: (entry: Entry) => boolean): NodeId[] => {
    const ids: NodeId[] = [];
    for (const entry of table.values()) if (entry.id !== self && wanted(entry)) ids.push(entry.id);
    return ids;
  };

  const liveOnes = (): readonly NodeId[] => {
    live ??= others(({ state, awaited }) => state !== "dead" && state !== "left" && !(awaited && state === "unknown"));
    return live;
  };

  return {
    get size() {
      return table.size;
    },
    get digest() {
      return digest;
    },
    get: (id) => table.get(id),
    entries: () => table.values(),
    add: (id, now, awaited) => {
      const entry: Entry = {
        id,
        hash: hashOf(id),
        state: "unknown",
        incarnation: 0,
        since: now,
        lastContact: undefined,
        rttMs: undefined,
        skewMs: undefined,
        suspicion: undefined,
        awaited,
        toldAt: Number.NEGATIVE_INFINITY,
      };
      table.set(id, entry);
      changed();
      return entry;
    },
    expect: (id) => {
      const entry = table.get(id);
      if (entry === undefined) return;
      entry.awaited = false;
      changed();
    },
    delete: (id) => {
      const entry = table.get(id);
      if (entry === undefined) return undefined;
      digest = (digest ^ share(entry)) >>> 0;
      table.delete(id);
      changed();
      return entry;
    },
    set: (entry, state, incarnation, now) => {
      digest = (digest ^ share(entry)) >>> 0;
      if (entry.state !== state) {
        entry.since = now;
        changed();
      }
      entry.state = state;
      entry.incarnation = incarnation;
      digest = (digest ^ share(entry)) >>> 0;
    },
    live: liveOnes,
    neighbours: (rings) =>
      nextOnRings(
        hashOf(self),
        liveOnes().flatMap((id) => table.get(id) ?? []),
        rings,
      ),
    dead: () => {
      dead ??= others(({ state }) => state === "dead");
      return dead;
    },
  };
}

function share(entry: Entry): number {
  if (entry.state === "unknown") return 0;
  const kind = entry.state === "suspect" ? rank.alive : rank[entry.state];
  let mixed = Math.imul(entry.hash ^ (entry.incarnation >>> 0) ^ Math.floor(entry.incarnation / 2 ** 32), 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 15) ^ kind, 0x85ebca6b);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
