import type { Role } from "../components/component.ts";
import { AppError } from "../lib/app-error.ts";

/** What a join token tells the node that joins. To everybody else it is an opaque text. */
export interface JoinTicket {
  readonly role: Role;
  readonly secret: string;
  /** SHA-256 of the cluster certificate (DER), lower case hex: whom to trust with the secret. */
  readonly fingerprint: string;
  /** `ip:port` of control planes. */
  readonly addresses: readonly string[];
}

/** Only tokens of workers have it: it is how the two kinds are told apart. */
const workerMark = "m!!";
const maxTokenLength = 64 * 1024;
const maxAddresses = 256;

/** Base64 of JSON; the order of the keys is fixed. */
export function encodeJoinToken({ role, secret, fingerprint, addresses }: JoinTicket): string {
  const content =
    role === "worker"
      ? { token: "", secret, join_addresses: addresses, fingerprint, _: workerMark }
      : { secret, fingerprint, join_addresses: addresses };
  return Buffer.from(JSON.stringify(content), "utf8").toString("base64");
}

export function decodeJoinToken(text: string): JoinTicket {
  const content = contentOf(text.trim());
  const { secret, fingerprint, join_addresses: addresses } = content;
  if (typeof secret !== "string" || secret === "") throw unreadable("it holds no secret");
  if (typeof fingerprint !== "string" || !/^[\da-f]{64}$/.test(fingerprint)) {
    throw unreadable("it holds no fingerprint of the cluster's certificate");
  }
  if (!Array.isArray(addresses) || addresses.length === 0) throw unreadable("empty list of control plane addresses");
  if (addresses.length > maxAddresses || addresses.some((address) => typeof address !== "string")) {
    throw unreadable("its list of control plane addresses is not one");
  }
  const role = content._ === workerMark ? "worker" : "control-plane";
  return { role, secret, fingerprint, addresses: [...new Set(addresses as string[])] };
}

/** False also for what is no token. */
export function isWorkerToken(text: string): boolean {
  try {
    return decodeJoinToken(text).role === "worker";
  } catch {
    // Whoever uses it says what is wrong with it.
    return false;
  }
}

function contentOf(text: string): Readonly<Record<string, unknown>> {
  if (text === "") throw unreadable("it is empty");
  if (text.length > maxTokenLength) throw unreadable("it is too long");
  // Buffer.from skips what is not base64, and a token with a hole in it would only fail later.
  if (!/^[A-Za-z\d+/]+={0,2}$/.test(text)) throw unreadable("it is not base64: a part may be missing");
  let content: unknown;
  try {
    content = JSON.parse(Buffer.from(text, "base64").toString("utf8"));
  } catch {
    // What the parser says shows where it stopped, and that may be in the middle of the secret.
    throw unreadable("it is not what a token holds: a part may be missing");
  }
  if (typeof content !== "object" || content === null) throw unreadable("it is not what a token holds");
  return content as Record<string, unknown>;
}

function unreadable(reason: string): AppError {
  return new AppError("invalid", `cannot read the join token: ${reason}`, {
    field: "token",
    remedy: "Give it as 'k8s get-join-token' on a control plane printed it, in one piece.",
  });
}
