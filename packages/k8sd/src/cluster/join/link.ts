import { request as httpRequest } from "node:http";
import { isIP } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import type {
  AdvanceRequest,
  Envelope,
  ListMembersResponse,
  ReserveRequest,
  ReserveResponse,
  StandingResponse,
} from "@k8sd/api-types";
import { type EndpointName, type EndpointSpec, endpoints, type ResponseOf } from "@k8sd/api-types";
import { splitHostPort } from "../../components/address.ts";
import { AppError, type ErrorKind, errorText } from "../../lib/app-error.ts";
import { sleep, withDeadline } from "../../lib/wait.ts";
import { constantTimeEqual, fingerprintOf } from "../../pki/expiry.ts";
import type { PemPair } from "../../pki/supplied.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import type { NodeKey } from "../node-key.ts";

/** The control planes of a cluster as a node reaches them that is on its way in, or a worker. */
export interface ClusterLink {
  reserve(request: ReserveRequest, signal: AbortSignal): Promise<ReserveResponse>;
  advance(action: AdvanceRequest["action"], signal: AbortSignal): Promise<void>;
  members(signal: AbortSignal): Promise<ListMembersResponse>;
  /** What the ledger says of the node that asks. */
  standing(signal: AbortSignal): Promise<StandingResponse>;
  /** Any other question, asked of whichever address answers. */
  ask<N extends EndpointName>(name: N, body: unknown, signal: AbortSignal): Promise<ResponseOf<N>>;
}

export interface LinkOptions {
  /** `ip:port` of control planes. */
  readonly addresses: readonly string[];
  /** SHA-256 of the certificate that all of them show (DER), lower case hex. */
  readonly fingerprint: string;
  /** The node's own key, in its certificate. */
  readonly identity: PemPair;
  /** For one call, with all tries; longer where a control plane takes the question and is slow to answer. */
  readonly patienceMs: number;
}

/** A machine in the same cluster takes a connection in milliseconds; across the world in less than a second. */
const connectMs = 5_000;
/** It may be busy with a hundred others that join, and would only be busier if each asked again. */
const handshakeMs = 20_000;
/** It may wait for its own datastore. */
const answerMs = 20_000;
const retryMs = 300;
/** Whoever takes questions is there, and busy: with many that join at once, or for want of processor. Waiting helps. */
const busyFactor = 4;
const largestAnswer = 8 * 1024 * 1024;

export function createClusterLink(options: LinkOptions): ClusterLink {
  const { addresses, fingerprint, identity, patienceMs } = options;

  /** A connection to whom the fingerprint names, before anything has been said. */
  function dial(address: string, signal: AbortSignal): Promise<TLSSocket> {
    const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
    const target = splitHostPort(address);
    if (target === undefined || isIP(target.host) === 0) return Promise.reject(new Error("it is no ip:port"));
    let limitMs = connectMs;
    const socket = connect({
      ...target,
      cert: identity.certificate,
      key: identity.key,
      // No authority says who this is, the fingerprint does.
      rejectUnauthorized: false,
      minVersion: "TLSv1.2",
      ALPNProtocols: ["http/1.1"],
    });
    const giveUp = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    const onLimit = (): void => giveUp(new Error(`no answer within ${limitMs / 1000} s`));
    const onAbort = (): void => giveUp(signal.reason);
    let limit = setTimeout(onLimit, limitMs);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    socket.once("error", giveUp);
    socket.once("connect", () => {
      clearTimeout(limit);
      limitMs = handshakeMs;
      limit = setTimeout(onLimit, limitMs);
    });
    socket.once("secureConnect", () => {
      const shown = socket.getPeerX509Certificate();
      if (shown !== undefined && constantTimeEqual(fingerprintOf(shown), fingerprint)) resolve(socket);
      else giveUp(new WrongCluster());
    });
    const settled = (): void => {
      clearTimeout(limit);
      signal.removeEventListener("abort", onAbort);
    };
    promise.then(settled, settled);
    return promise;
  }

  /** The first that answers rightly; the others are let go. */
  async function dialAny(excluded: ReadonlySet<string>, signal: AbortSignal) {
    const over = new AbortController();
    const both = AbortSignal.any([signal, over.signal]);
    const candidates = addresses.filter((address) => !excluded.has(address));
    const attempts = candidates.map(async (address) => ({ address, socket: await dial(address, both) }));
    try {
      const first = await Promise.any(attempts);
      for (const attempt of attempts) {
        void attempt.then(
          ({ socket }) => socket !== first.socket && socket.destroy(),
          () => {
            // Not needed any more.
          },
        );
      }
      return first;
    } catch (error) {
      signal.throwIfAborted();
      const reasons = error instanceof AggregateError ? error.errors : [error];
      throw unreachable(candidates, reasons);
    } finally {
      over.abort(new Error("another one was faster"));
    }
  }

  async function send<N extends EndpointName>(name: N, body: unknown, signal: AbortSignal): Promise<ResponseOf<N>> {
    const spec: EndpointSpec = endpoints[name];
    const tried = new Set<string>();
    let last: unknown;
    while (tried.size < addresses.length) {
      let reached: Awaited<ReturnType<typeof dialAny>>;
      try {
        reached = await dialAny(tried, signal);
      } catch (error) {
        throw last ?? error;
      }
      tried.add(reached.address);
      const deadline = withDeadline(signal, answerMs);
      try {
        const answer = await exchange(reached.socket, reached.address, spec, body, deadline);
        const parsed = spec.response.safeParse(answer);
        if (parsed.success) return parsed.data as ResponseOf<N>;
        throw new AppError(
          "unavailable",
          `cannot understand the answer of ${reached.address}: ${parsed.error.message}`,
        );
      } catch (error) {
        signal.throwIfAborted();
        // Another one may be better off: with its datastore, or with its network.
        if (error instanceof AppError && !error.retryable) throw error;
        last = error instanceof AppError ? error : lost(reached.address, error, deadline.aborted);
      } finally {
        reached.socket.destroy();
      }
    }
    throw last ?? unreachable(addresses, []);
  }

  async function patiently<N extends EndpointName>(name: N, body: unknown, signal: AbortSignal) {
    const begun = performance.now();
    for (;;) {
      try {
        return await send(name, body, signal);
      } catch (error) {
        if (!(error instanceof AppError) || !error.retryable) throw error;
        const limitMs = error.kind === "timeout" ? busyFactor * patienceMs : patienceMs;
        if (performance.now() - begun > limitMs) throw error;
      }
      await sleep(retryMs, signal);
    }
  }

  return {
    reserve: (request, signal) => patiently("reserveMember", request, signal),
    advance: async (action, signal) => {
      await patiently("advanceMember", { action } satisfies AdvanceRequest, signal);
    },
    members: (signal) => patiently("listMembers", undefined, signal),
    standing: (signal) => patiently("memberStanding", undefined, signal),
    ask: patiently,
  };
}

/** A restart of a control plane takes seconds; a step that waits longer says why. */
const stepPatienceMs = 60_000;

/** The way back to the cluster that a node came into, or is coming into. */
export function linkOf(
  { view, via }: BootstrapInput,
  { nodeKey, now }: { readonly nodeKey: NodeKey; readonly now: () => number },
  more: { readonly addresses?: readonly string[]; readonly patienceMs?: number } = {},
): ClusterLink {
  if (via === undefined) throw new AppError("internal", "cannot ask the cluster: this node founded it");
  const { addresses = via.addresses, patienceMs = stepPatienceMs } = more;
  const identity = nodeKey.certificate(view.name, new Date(now()));
  return createClusterLink({ addresses, fingerprint: via.fingerprint, identity, patienceMs });
}

class WrongCluster extends Error {
  constructor() {
    super("it shows another certificate than the token names");
  }
}

function unreachable(addresses: readonly string[], reasons: readonly unknown[]): AppError {
  const list = addresses.map((address, index) => `${address}: ${errorText(reasons[index] ?? "not tried")}`).join("; ");
  const others = reasons.filter((reason) => !(reason instanceof WrongCluster));
  if (addresses.length > 0 && reasons.length > 0 && others.length === 0) {
    return new AppError("unauthorized", `cannot trust any control plane of the token: ${list}`, {
      remedy: "Create a new token on the cluster that this node shall join.",
    });
  }
  return new AppError(
    "unavailable",
    `cannot reach a control plane: ${addresses.length === 0 ? "none is known" : list}`,
    {
      remedy: "Check the network and the firewall between this node and these addresses.",
    },
  );
}

function lost(address: string, error: unknown, slow: boolean): AppError {
  return new AppError(slow ? "timeout" : "unavailable", `cannot get an answer from ${address}`, {
    cause: error,
    retryable: true,
  });
}

function exchange(
  socket: TLSSocket,
  address: string,
  spec: EndpointSpec,
  body: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const payload = body === undefined ? "" : JSON.stringify(body);
  const request = httpRequest({
    createConnection: () => socket,
    method: spec.method,
    path: spec.path,
    headers: { host: address, "content-type": "application/json", "content-length": Buffer.byteLength(payload) },
    signal,
  });
  request.on("error", reject);
  request.on("response", (response) => {
    const parts: Buffer[] = [];
    let size = 0;
    response.on("data", (part: Buffer) => {
      size += part.length;
      if (size > largestAnswer) response.destroy(new Error("the answer is too long"));
      else parts.push(part);
    });
    response.on("error", reject);
    response.on("end", () => {
      try {
        const envelope = JSON.parse(Buffer.concat(parts).toString("utf8")) as Envelope;
        const kind = response.headers["x-error-kind"];
        if (envelope.type === "error") reject(refused(envelope.error, response.statusCode ?? 0, kind));
        else resolve(envelope.metadata);
      } catch (error) {
        reject(error);
      }
    });
  });
  request.end(payload);
  return promise;
}

const kinds: readonly string[] = [
  "invalid",
  "not-found",
  "conflict",
  "unauthorized",
  "forbidden",
  "unavailable",
  "timeout",
] satisfies ErrorKind[];

/** What the control plane said, as it said it. */
function refused(message: string, status: number, kind: string | string[] | undefined): AppError {
  const known = typeof kind === "string" && kinds.includes(kind) ? (kind as ErrorKind) : undefined;
  return new AppError(known ?? (status === 503 ? "unavailable" : "internal"), message);
}
