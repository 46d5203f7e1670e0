import type { Head, LivenessState, NodeId } from "./types.ts";

/** What one node says of another one. The higher incarnation wins; within one, alive < suspect < dead < left. */
export interface Update {
  readonly id: NodeId;
  readonly state: LivenessState;
  /** Only the node itself raises it, to take back what others say of it. */
  readonly incarnation: number;
  /** Who suspects; only for suspect. */
  readonly by?: NodeId;
}

interface FromNode {
  /** Of the sender. */
  readonly incarnation: number;
  /** The sender says good-bye: it knows that it is held for left. */
  readonly leaving: boolean;
  readonly updates: readonly Update[];
}

export interface Ping extends FromNode {
  readonly type: "ping";
  readonly seq: number;
  readonly head: Head;
}

export interface Ack extends FromNode {
  readonly type: "ack";
  readonly seq: number;
  readonly head: Head;
  /** Clock of the sender, for the skew; never used for a timeout. */
  readonly wallTime: number;
}

export interface PingRequest extends FromNode {
  readonly type: "ping-request";
  readonly seq: number;
  readonly target: NodeId;
}

/** A helper answers, although its target did not: what failed is not the way to the helper. */
export interface Nack extends FromNode {
  readonly type: "nack";
  readonly seq: number;
}

/** A helper passes on that its target answered. */
export interface Relayed extends FromNode {
  readonly type: "relayed";
  readonly seq: number;
}

export interface Gossip extends FromNode {
  readonly type: "gossip";
}

export interface Sync extends FromNode {
  readonly type: "sync";
  /** Of everything the sender believes of everybody; equal digests end the exchange. */
  readonly digest: number;
}

export interface States extends FromNode {
  readonly type: "states";
  /** The receiver answers with what it knows better of the nodes in here. */
  readonly reply: boolean;
}

/** Addresses under which a node can be reached, as the node itself said them at an incarnation. */
export interface NodeAddresses {
  readonly id: NodeId;
  readonly incarnation: number;
  /** `host:port`. */
  readonly addresses: readonly string[];
}

export interface Addresses {
  readonly type: "addresses";
  readonly entries: readonly NodeAddresses[];
}

export interface SignedHead extends Head {
  /** SHA-256 over all records at this revision: who has the head can check every record, whoever sent it. */
  readonly root: Uint8Array;
  readonly author: NodeId;
  readonly signature: Uint8Array;
}

export interface LedgerEntry {
  readonly key: string;
  readonly value: string;
  /** At which it was last written. */
  readonly revision: number;
}

/** "I have this; what is newer?" */
export interface Pull {
  readonly type: "pull";
  readonly have: Head;
  /** The answer goes on behind this key. */
  readonly after: string;
}

/** A copy is older than what was announced, and what is newer is too large to be pushed. */
export interface Announce {
  readonly type: "announce";
  readonly head: Head;
}

/** A part of the way from `base` to `head`. */
export interface Chunk {
  readonly type: "chunk";
  readonly head: SignedHead;
  /** undefined: the whole state, from nothing. */
  readonly base: Head | undefined;
  readonly after: string;
  readonly last: boolean;
  readonly entries: readonly LedgerEntry[];
  readonly removed: readonly { readonly key: string; readonly revision: number }[];
}

export type DetectorMessage = Ping | Ack | PingRequest | Nack | Relayed | Gossip | Sync | States;
export type ReplicaMessage = Pull | Announce | Chunk;
export type Message = DetectorMessage | ReplicaMessage | Addresses;
