import type { Liveness } from "./member-table.ts";
import type { DetectorMessage } from "./messages.ts";
import type { Head, LivenessState, MeshClock, NodeId, Random, Sender } from "./types.ts";

export interface LivenessChange {
  readonly id: NodeId;
  readonly before: LivenessState;
  readonly now: LivenessState;
}

export interface DetectorDeps {
  readonly clock: MeshClock;
  readonly random: Random;
  readonly sender: Sender;
  /** How new our copy of the ledger is; told with every probe and every answer. */
  head(): Head;
  onHead(from: NodeId, head: Head): void;
  onChange(change: LivenessChange): void;
  /** Whether a probe that this node sent itself was answered directly; false also when it was, but only to others. */
  onProbed?(id: NodeId, answered: boolean): void;
  /** A node speaks to us itself for the first time, or for the first time since it was away. */
  onReturn(id: NodeId): void;
}

/** A node of the ledger. */
export interface Expected {
  readonly id: NodeId;
  /** When it became a member. Milliseconds since the Unix epoch; absent: long ago. */
  readonly cameAt?: number;
}

/**
 * Failure detector: SWIM with the Lifeguard refinements. What it knows is soft state: it is never stored, and a restart
 * learns it anew. Who exists is said by `setMembers` alone; messages of and about others are dropped.
 *
 *   idle ──start──► running ──leave──► leaving ──stop──► stopped
 */
export interface Detector {
  start(): void;
  stop(): void;
  setMembers(members: Iterable<Expected>): void;
  receive(from: NodeId, message: DetectorMessage): void;
  view(): ReadonlyMap<NodeId, Liveness>;
  /** Others that are neither dead nor gone. */
  live(): readonly NodeId[];
  /** Something else (a closed connection) hints that the node may be gone: probe it out of turn. */
  hint(id: NodeId): void;
  /** Tells the others that this node goes on purpose; `done` is called when enough of them have confirmed, or in time. */
  leave(done: () => void): void;
  readonly incarnation: number;
  /** 0 is healthy. */
  readonly awareness: number;
}
