import { errorText } from "../lib/app-error.ts";
import type { Liveness } from "./member-table.ts";
import type { NodeId } from "./types.ts";

/** How far the way to a peer goes, for people: what to look at first. */
export type UnreachableReason =
  /** No address is known, or its name does not resolve. */
  | "dns"
  /** Nobody listens there, or the network does not lead there. */
  | "tcp"
  /** Something else answers there, or with another key. */
  | "tls"
  /** The certificates are outside of their time: one of the two clocks is wrong. */
  | "clock"
  /** It does not admit us, or we do not admit it. */
  | "not-a-member"
  /** The connection stands, and nothing comes back: a process that hangs. */
  | "no-answer";

export interface Problem {
  readonly reason: UnreachableReason;
  readonly detail: string;
  /** Wall time. */
  readonly at: number;
}

export interface PeerReport extends Liveness {
  readonly id: NodeId;
  readonly peerId: string;
  readonly addresses: readonly string[];
  readonly connected: boolean;
  /** Only for peers that should be reachable and are not. */
  readonly problem?: Problem;
}

export type DialPhase = "resolve" | "dial" | "stream";

/** Why a connection attempt failed that got as far as `phase`. */
export function classify(phase: DialPhase, error: unknown): Pick<Problem, "reason" | "detail"> {
  const chain = flatten(error);
  const names = chain.map(({ name }) => name);
  const text = chain.map(({ message }) => message).join("; ");
  const detail = text === "" ? errorText(error) : text.slice(0, 300);
  const reason = (): UnreachableReason => {
    if (phase === "resolve") return "dns";
    if (/not valid yet|not yet valid|expired/i.test(text)) return "clock";
    if (names.some((name) => /Denied|Intercepted/.test(name))) return "not-a-member";
    // The handshake was done, then the other side hung up: it knows who we are and does not want us.
    if (phase === "stream") return names.includes("TimeoutError") ? "no-answer" : "not-a-member";
    if (names.some((name) => /Encryption|Crypto|Certificate|UnexpectedPeer|Handshake/.test(name))) return "tls";
    if (/certificate|\bssl\b|\btls\b|wrong version number|EPROTO/i.test(text)) return "tls";
    return "tcp";
  };
  return { reason: reason(), detail };
}

function flatten(error: unknown, depth = 0): Error[] {
  if (!(error instanceof Error) || depth > 5) return [];
  const inner = error instanceof AggregateError ? error.errors : [];
  return [error, ...[...inner, error.cause].flatMap((each) => flatten(each, depth + 1))];
}
