import { createHash, timingSafeEqual, type X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { errorText } from "../lib/app-error.ts";
import { assertNever } from "../lib/assert-never.ts";
import { keyFingerprint } from "../pki/keys.ts";
import type { Caller, Domain } from "./domain.ts";
import type { AccessRule } from "./endpoint.ts";
import { HttpError } from "./errors.ts";

export type Transport = "unix" | "tls";

/** A worker is told what every node knows. What a control plane may do it may not: it runs what others give it to run. */
export type Trust = "all" | "worker" | "none";

/**
 * Whether the caller is one of us: on the socket whoever the file's mode lets in; on the network a caller that asked for
 * this node's own address and holds a member's key (the handshake proved that). No CA is trusted here.
 */
export function trustIn(incoming: IncomingMessage, transport: Transport, domain: Domain, now: number): Trust {
  if (transport === "unix") return "all";
  const own = domain.identity().address;
  if (own === "" || withoutZone(hostOf(incoming)) !== withoutZone(own)) return "none";
  const certificate = certificateOf(incoming);
  if (certificate === undefined) return "none";
  if (now < certificate.validFromDate.getTime() || certificate.validToDate.getTime() < now) return "none";
  const key = keyFingerprint(certificate.publicKey);
  if (domain.trustedKeys().has(key)) return "all";
  return domain.workerKeys().has(key) ? "worker" : "none";
}

function certificateOf(incoming: IncomingMessage): X509Certificate | undefined {
  return incoming.socket instanceof TLSSocket ? incoming.socket.getPeerX509Certificate() : undefined;
}

/** Refuses callers that may not use the endpoint. Header tokens are asked of callers on the socket too. */
export async function checkAccess(
  rule: AccessRule,
  caller: { readonly trust: Trust; readonly incoming: IncomingMessage },
  domain: Domain,
  signal: AbortSignal,
): Promise<void> {
  switch (rule) {
    case "anyone":
      return;
    case "trusted":
      return requireTrust(caller.trust);
    case "member":
      if (caller.trust !== "worker") requireTrust(caller.trust);
      return;
    case "trusted-control-plane":
      requireTrust(caller.trust);
      return refuseOnWorker(domain);
    case "local-or-control-plane":
      requireTrust(caller.trust);
      if (caller.incoming.socket instanceof TLSSocket) refuseOnWorker(domain);
      return;
    case "monitoring":
      refuseOnWorker(domain);
      if (caller.trust !== "all") await checkMonitor(caller.incoming, domain, signal);
      return;
    case "capi-auth-token":
    case "node-token":
      return checkHeaderToken(rule, caller.incoming, domain, signal);
    default:
      return assertNever(rule);
  }
}

/** Who was let in, for the audit. */
export function callerOf(rule: AccessRule, incoming: IncomingMessage, transport: Transport): Caller {
  const source = transport === "unix" ? "unix" : (incoming.socket.remoteAddress ?? "unknown");
  switch (rule) {
    case "anyone": {
      const certificate = certificateOf(incoming);
      return { actor: "anyone", source, ...(certificate && { key: keyFingerprint(certificate.publicKey) }) };
    }
    case "trusted":
    case "member":
    case "trusted-control-plane":
    case "local-or-control-plane":
      return { actor: transport === "unix" ? "root" : "member", source };
    case "monitoring":
    case "capi-auth-token":
    case "node-token":
      return { actor: rule, source };
    default:
      return assertNever(rule);
  }
}

function requireTrust(trust: Trust): void {
  if (trust !== "all") throw new HttpError(403);
}

function refuseOnWorker(domain: Domain): void {
  let worker: boolean;
  try {
    worker = domain.isWorker();
  } catch (error) {
    throw new HttpError(500, `failed to check if node is a worker: ${errorText(error)}`, { cause: error });
  }
  if (worker) throw new HttpError(403, "this action is restricted on workers");
}

const readFailure = {
  "capi-auth-token": "check CAPI auth token database transaction failed",
  "node-token": "failed to read node access token",
};

async function checkHeaderToken(
  header: "capi-auth-token" | "node-token",
  incoming: IncomingMessage,
  domain: Domain,
  signal: AbortSignal,
): Promise<void> {
  const presented = incoming.headers[header];
  if (typeof presented !== "string" || presented === "") throw new HttpError(401, `missing header "${header}"`);
  let expected: Uint8Array | undefined;
  try {
    expected = await domain.headerTokenHash(header, signal);
  } catch (error) {
    throw new HttpError(500, `${readFailure[header]}: ${errorText(error)}`, { cause: error });
  }
  const actual = createHash("sha256").update(presented).digest();
  if (expected?.length !== actual.length || !timingSafeEqual(expected, actual)) {
    throw new HttpError(401, "invalid token");
  }
}

/** Who may read kube-apiserver's metrics by Kubernetes' own role may read ours. */
const monitors = "system:monitoring";

/** The same tokens that kube-apiserver has checked here. */
async function checkMonitor(incoming: IncomingMessage, domain: Domain, signal: AbortSignal): Promise<void> {
  const token = /^Bearer (.+)$/i.exec(incoming.headers.authorization ?? "")?.[1];
  if (token === undefined) throw new HttpError(401, "missing bearer token");
  const user = await domain.authTokens.check(token, signal);
  if (user === undefined) throw new HttpError(401, "invalid token");
  if (!user.groups.includes(monitors)) throw new HttpError(403, `${user.username} is not in the group ${monitors}`);
}

/** The Host header as sent; `headers.host` is not what arrived (see app.ts). */
function hostOf(incoming: IncomingMessage): string {
  const at = incoming.rawHeaders.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === "host");
  return at === -1 ? "" : (incoming.rawHeaders[at + 1] ?? "");
}

/** `[fe80::1%eth0]:6400` → `[fe80::1]:6400` */
function withoutZone(address: string): string {
  return address.replace(/%[^\]]*/, "");
}
