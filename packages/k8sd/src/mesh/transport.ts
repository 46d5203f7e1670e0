import type { Problem } from "./reachability.ts";

/** Carries messages between authenticated peers. Peer ids here are the transport's; the mesh knows whose they are. */
export interface Transport {
  /** Never waits; a message to a peer that cannot be reached, or that does not keep up, is dropped. */
  send(peerId: string, message: Uint8Array): void;
  /** To everybody, over several hops, each of which checks it. */
  broadcast(message: Uint8Array): void;
  connected(peerId: string): boolean;
  /** Of the last attempt; undefined when it went well or there was none. */
  problem(peerId: string): Problem | undefined;
  /** Tries now, and knows afterwards what the problem is. */
  diagnose(peerId: string, signal: AbortSignal): Promise<Problem | undefined>;
  /** What is sent to the peer does not get there: its connections are cut, and the next message opens a new one. */
  reset(peerId: string): void;
  /** Closes connections to whom is not admitted any more. */
  recheck(): Promise<void>;
  readonly port: number;
  stop(): Promise<void>;
}

export interface TransportDeps {
  admitted(peerId: string): boolean;
  /** `host:port`, the most promising first. */
  addressesOf(peerId: string): readonly string[];
  onMessage(peerId: string, message: Uint8Array): void;
  /** Whether a broadcast is to be passed on and delivered. */
  acceptsBroadcast(message: Uint8Array): boolean;
  onDisconnect(peerId: string): void;
}
