import type { Logger } from "pino";
import { grpcStatus } from "../wire.ts";
import { EtcdError } from "./etcd-error.ts";
import { createFrameReader } from "./grpc-frames.ts";
import type { Receiver, ServerStream } from "./http2/connection.ts";
import { headerBlock } from "./http2/hpack.ts";
import { http2Error } from "./http2/http2-error.ts";
import type { MessageEncoder, MessageWriter } from "./message-writer.ts";
import type { Permission } from "./permission.ts";

/** A call with one request and one answer. */
export interface UnaryMethod {
  readonly kind: "unary";
  readonly serve: (message: Uint8Array, permission: Permission | undefined) => Promise<MessageEncoder> | MessageEncoder;
}

/** A call that stays open. */
export interface StreamMethod {
  readonly kind: "stream";
  readonly serve: (call: StreamCall) => StreamHandler;
}

export interface StreamCall {
  readonly permission: Permission | undefined;
  /** False: the peer does not take what was sent before; wait for `drained`. */
  send(message: MessageEncoder): boolean;
  end(error?: unknown): void;
}

export interface StreamHandler {
  message(message: Uint8Array): void;
  /** The peer will send no more. */
  ended(): void;
  drained(): void;
  /** The call is over, whoever ended it. */
  closed(): void;
}

export type Method = UnaryMethod | StreamMethod;

export interface CallContext {
  /** Larger messages are refused before they are kept. */
  readonly maxMessageBytes: number;
  /** Absent: everything. */
  readonly permission: Permission | undefined;
  readonly log: Logger;
  readonly writer: MessageWriter;
  /** Runs now, or when it is this peer's turn and it has taken more of its answers. */
  readonly inTurn: (run: () => void) => void;
  readonly sent: (bytes: number) => void;
}

const answerHeaders = { ":status": "200", "content-type": "application/grpc" };
const headersOfAnswer = headerBlock(answerHeaders);
const okTrailers = headerBlock({ "grpc-status": "0" });
const nothing = (): void => {};

export function serveUnary(stream: ServerStream, method: UnaryMethod, context: CallContext): Receiver {
  let served = false;
  let over = false;

  const succeed = (message: MessageEncoder): void => {
    if (over) return;
    stream.headers(headersOfAnswer);
    const bytes = written(message, context.writer);
    stream.message(bytes);
    stream.end(okTrailers);
    context.sent(bytes.length);
  };
  const fail = (error: unknown): void => {
    if (!over) refuse(stream, error, context.log);
  };
  const answer = (message: Uint8Array): void => {
    if (over) return;
    try {
      const result = method.serve(message, context.permission);
      if (result instanceof Promise) result.then(succeed, fail);
      else succeed(result);
    } catch (error) {
      fail(error);
    }
  };
  const read = createFrameReader(context.maxMessageBytes, (message) => {
    if (served) return;
    served = true;
    context.inTurn(() => answer(message));
  });
  return {
    data(bytes) {
      if (served) return;
      try {
        read(bytes);
      } catch (error) {
        served = true;
        fail(error);
        if (!over) stream.reset(http2Error.none);
      }
    },
    ended() {
      if (!served) fail(new EtcdError(grpcStatus.internal, "request without a message"));
    },
    drained: nothing,
    closed() {
      over = true;
    },
  };
}

export function serveStream(
  stream: ServerStream,
  method: StreamMethod,
  context: CallContext,
  open: Set<StreamCall>,
): Receiver {
  let over = false;
  stream.standApart();
  stream.headers(headersOfAnswer);
  const call: StreamCall = {
    permission: context.permission,
    send(message) {
      if (over) return true;
      stream.message(written(message, context.writer));
      return stream.queued === 0;
    },
    end(error) {
      if (over) return;
      over = true;
      stream.end(error === undefined ? okTrailers : headerBlock(statusOf(error, context.log)));
    },
  };
  open.add(call);
  const handler = method.serve(call);
  const read = createFrameReader(context.maxMessageBytes, (message) => handler.message(message));
  return {
    data(bytes) {
      if (over) return;
      try {
        read(bytes);
      } catch (error) {
        call.end(error);
      }
    },
    ended: () => handler.ended(),
    drained: () => handler.drained(),
    closed() {
      over = true;
      open.delete(call);
      handler.closed();
    },
  };
}

function written(encode: MessageEncoder, writer: MessageWriter): Buffer {
  encode(writer);
  return writer.finish();
}

/** Headers and status in one, because nothing comes between. */
export function refuse(stream: ServerStream, error: unknown, log: Logger): void {
  stream.end(headerBlock({ ...answerHeaders, ...statusOf(error, log) }));
}

/** Status and message as gRPC writes them; what is not an expected refusal is not shown to the peer. */
function statusOf(error: unknown, log: Logger): Readonly<Record<string, string>> {
  const known = error instanceof EtcdError;
  const code = known ? error.code : grpcStatus.internal;
  if (code === grpcStatus.internal) log.error({ err: error }, "Request failed");
  const text = known ? error.message : "internal error";
  return { "grpc-status": String(code), "grpc-message": percentEncoded(text) };
}

function percentEncoded(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]/gu, (character) => encodeURIComponent(character));
}
