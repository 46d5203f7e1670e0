import { connect as connectHttp2, constants } from "node:http2";
import { connect as connectSocket } from "node:net";

export type GrpcTarget =
  | { readonly socket: string }
  | { readonly url: string; readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };

export interface GrpcCall {
  readonly target: GrpcTarget;
  /** `/package.Service/Method` */
  readonly method: string;
  /** Default: the empty message. */
  readonly request?: Uint8Array;
  /** Default: 3 s. */
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

/** A refusal by a server that did answer; the number is gRPC's status code. */
export class GrpcRefusal extends Error {
  override readonly name = "GrpcRefusal";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const answerMs = 3000;
const largestAnswer = 1024 * 1024;
/** Flag byte (not compressed) and length. */
const headBytes = 5;

function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** One unary call; returns the bytes of the answer. What we ask of programs on this node needs no more of gRPC than this. */
export function grpcCall(call: GrpcCall): Promise<Buffer> {
  const { target, method, request = new Uint8Array(), timeoutMs = answerMs } = call;
  const signal = AbortSignal.any([call.signal, AbortSignal.timeout(timeoutMs)]);
  const session =
    "socket" in target
      ? connectHttp2("http://localhost", { createConnection: () => connectSocket(target.socket) })
      : connectHttp2(target.url, { ca: target.ca, cert: target.cert, key: target.key });
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const abort = () =>
    reject(call.signal.aborted ? call.signal.reason : new Error(`no answer within ${timeoutMs / 1000} s`));
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  session.on("error", reject);

  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: method,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
    [constants.HTTP2_HEADER_TE]: "trailers",
  });
  const parts: Buffer[] = [];
  let size = 0;
  let status: { code: number; message: string } | undefined;
  const readStatus = (headers: Readonly<Record<string, unknown>>) => {
    if (headers["grpc-status"] === undefined) return;
    status = {
      code: Number(headers["grpc-status"]),
      message: decodeURIComponent(String(headers["grpc-message"] ?? "")),
    };
  };
  stream.on("response", readStatus);
  stream.on("trailers", readStatus);
  stream.on("data", (part: Buffer) => {
    size += part.length;
    if (size > largestAnswer) reject(new Error("the answer is too long"));
    else parts.push(part);
  });
  stream.on("error", reject);
  stream.on("close", () => reject(new Error("the connection ended without an answer")));
  stream.on("end", () => {
    if (status?.code === 0) resolve(Buffer.concat(parts).subarray(headBytes));
    else if (status !== undefined) reject(new GrpcRefusal(status.code, status.message));
  });
  stream.end(framed(request));

  return promise.finally(() => {
    signal.removeEventListener("abort", abort);
    session.destroy();
  });
}
