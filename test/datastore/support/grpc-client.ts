import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { connect as connectSocket } from "node:net";
import type { MessageFns } from "@k8sd/k8sd/datastore/gen/etcd.ts";

/** What the server said, or 14 (unavailable) and 4 (deadline) where it said nothing: then the outcome is unknown. */
export class GrpcFailure extends Error {
  override readonly name = "GrpcFailure";
  readonly code: number;
  /** False: the call may or may not have taken effect. */
  readonly answered: boolean;
  /** False: nobody listened, so nothing was asked. */
  readonly sent: boolean;

  constructor(code: number, text: string, answered: boolean, sent = true) {
    super(text);
    this.code = code;
    this.answered = answered;
    this.sent = sent;
  }
}

export interface GrpcStream<Q> {
  send(message: Q): void;
  close(): void;
}

/** One connection. Apart from the client of the product on purpose: a fault of its framing must not hide the same in the server's. */
export interface GrpcConnection {
  unary<Q, A>(path: string, request: MessageFns<Q>, answer: MessageFns<A>, message: Q, timeoutMs?: number): Promise<A>;
  stream<Q, A>(
    path: string,
    request: MessageFns<Q>,
    answer: MessageFns<A>,
    on: { message(answer: A, bytes: number): void; closed(failure: GrpcFailure | undefined): void },
  ): GrpcStream<Q>;
  close(): void;
}

const prefixBytes = 5;
/** Beyond what any call needs, also under the load of a whole test run. */
const defaultTimeoutMs = 20_000;

export function openConnection(endpoint: string): GrpcConnection {
  let session: ClientHttp2Session | undefined;

  const current = (): ClientHttp2Session => {
    if (session && !session.closed && !session.destroyed) return session;
    const path = endpoint.startsWith("unix://") ? endpoint.slice("unix://".length) : undefined;
    const opened = connect(path === undefined ? endpoint : "http://localhost", {
      ...(path === undefined ? {} : { createConnection: () => connectSocket(path) }),
      settings: { initialWindowSize: 16 * 1024 * 1024 },
    });
    // Its streams fail with it, and they are what callers wait for.
    opened.on("error", () => {});
    session = opened;
    return opened;
  };

  const open = (path: string): ClientHttp2Stream =>
    current().request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });

  return {
    unary(path, request, answer, message, timeoutMs = defaultTimeoutMs) {
      return new Promise((resolve, reject) => {
        const stream = open(path);
        const end = createEnd(stream);
        const timer = setTimeout(() => {
          reject(new GrpcFailure(4, "deadline", false));
          stream.close(constants.NGHTTP2_CANCEL);
        }, timeoutMs);
        let bytes: Uint8Array | undefined;
        onMessages(stream, (each) => {
          bytes = each;
        });
        stream.on("close", () => {
          clearTimeout(timer);
          const failure = end();
          if (failure) reject(failure);
          else if (!bytes) reject(new GrpcFailure(13, "no message in the answer", true));
          else resolve(answer.decode(bytes));
        });
        stream.end(frame(request.encode(message).finish()));
      });
    },
    stream(path, request, answer, on) {
      const stream = open(path);
      const end = createEnd(stream);
      onMessages(stream, (bytes) => on.message(answer.decode(bytes), bytes.length));
      stream.on("close", () => on.closed(end()));
      return {
        send: (message) => void stream.write(frame(request.encode(message).finish())),
        close: () => stream.close(constants.NGHTTP2_CANCEL),
      };
    },
    close: () => session?.destroy(),
  };
}

function frame(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** The status a call ended with; undefined for success. */
function createEnd(stream: ClientHttp2Stream): () => GrpcFailure | undefined {
  let status: string | undefined;
  let text = "";
  const read = (headers: Record<string, unknown>) => {
    if (headers["grpc-status"] === undefined) return;
    status = String(headers["grpc-status"]);
    text = decodeURIComponent(String(headers["grpc-message"] ?? ""));
  };
  let broken = "connection lost";
  stream.on("response", read);
  stream.on("trailers", read);
  stream.on("error", (error) => {
    broken = error.message;
  });
  return () => {
    if (status === "0") return undefined;
    if (status !== undefined) return new GrpcFailure(Number(status), text, true);
    return new GrpcFailure(14, broken, false, !/ECONNREFUSED|ENOENT/.test(broken));
  };
}

function onMessages(stream: ClientHttp2Stream, handle: (message: Uint8Array) => void): void {
  let rest: Buffer[] = [];
  let have = 0;
  let need = prefixBytes;
  stream.on("data", (chunk: Buffer) => {
    rest.push(chunk);
    have += chunk.length;
    while (have >= need) {
      const all = rest.length === 1 && rest[0] ? rest[0] : Buffer.concat(rest);
      need = prefixBytes + all.readUInt32BE(1);
      rest = [all];
      if (have < need) return;
      handle(all.subarray(prefixBytes, need));
      rest = [all.subarray(need)];
      have -= need;
      need = prefixBytes;
    }
  });
}
