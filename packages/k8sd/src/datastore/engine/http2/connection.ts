import type { Duplex } from "node:stream";
import {
  createFrameParser,
  defaultWindow,
  flag,
  frame,
  frameType,
  goawayFrame,
  largestWindow,
  maxFrameBytes,
  numberFrame,
  setting,
  settingsFrame,
  unpadded,
} from "./frames.ts";
import { createHeaderBlocks, maxHeaderBytes } from "./header-blocks.ts";
import { Http2Error, http2Error } from "./http2-error.ts";
import { createOutbox, type Outgoing } from "./outbox.ts";

/** One call of a peer, as the layer above uses it. */
export interface ServerStream {
  /** Bytes that wait for the peer. */
  readonly queued: number;
  headers(block: Buffer): void;
  /** It stays open and has bounds of its own: what waits on it holds no other call up. */
  standApart(): void;
  message(bytes: Buffer): void;
  end(trailers: Buffer): void;
  /** Ends without more words, for a peer that still sends what nobody wants. */
  reset(code: number): void;
}

export interface Receiver {
  data(bytes: Buffer): void;
  ended(): void;
  drained(): void;
  closed(): void;
}

export interface Connection {
  /** Bytes that wait for the peer, over all streams that do not stand apart. */
  readonly queuedBytes: number;
  /** Lets running calls end, takes no new ones. */
  close(): void;
  destroy(): void;
}

export interface ConnectionDeps {
  readonly open: (path: string, stream: ServerStream) => Receiver;
  /** Something that waited was sent. */
  readonly relieved: () => void;
  readonly failed: (error: unknown) => void;
  readonly closed: () => void;
}

/** Requests in flight on one connection; kube-apiserver opens few connections and sends much on each. */
const maxConcurrentStreams = 10_000;
/** Room for one largest request without a round trip. */
const streamWindow = 2 * 1024 * 1024;
const connectionWindow = 4 * streamWindow;
/** A peer that sends but does not read is not listened to beyond this. */
const maxUnreadBytes = 1024 * 1024;
/** How many calls a peer may take back for each one it lets end, with room to stop many at once. */
const maxResetsAhead = 20_000;

interface Stream extends Outgoing, Omit<ServerStream, "queued"> {
  receiver: Receiver | undefined;
  unacknowledged: number;
  remoteEnded: boolean;
  localEnded: boolean;
}

/** The server's side of HTTP/2 (RFC 9113), as far as gRPC needs it: no push, no priorities, header blocks without a table. */
export function createConnection(socket: Duplex, deps: ConnectionDeps): Connection {
  const streams = new Map<number, Stream>();
  const outbox = createOutbox(socket);
  const blocks = createHeaderBlocks(onCall);
  let lastId = 0;
  let peerWindow = defaultWindow;
  let unacknowledged = 0;
  let resets = 0;
  let closing = false;
  let over = false;

  function createStream(id: number): Stream {
    const stream: Stream = {
      id,
      window: peerWindow,
      queue: [],
      queued: 0,
      trailers: undefined,
      counted: true,
      receiver: undefined,
      unacknowledged: 0,
      remoteEnded: false,
      localEnded: false,
      drained() {
        stream.receiver?.drained();
        deps.relieved();
      },
      finished() {
        stream.localEnded = true;
        if (stream.remoteEnded) forget(stream);
        deps.relieved();
      },
      headers: (bytes) => outbox.headers(id, bytes),
      standApart() {
        stream.counted = false;
      },
      message: (bytes) => outbox.message(stream, bytes),
      end: (trailers) => outbox.end(stream, trailers),
      reset(code) {
        outbox.control(numberFrame(frameType.rstStream, id, code));
        forget(stream);
      },
    };
    return stream;
  }

  function forget(stream: Stream): void {
    if (!streams.delete(stream.id)) return;
    outbox.drop(stream);
    stream.receiver?.closed();
    if (closing && streams.size === 0) end();
  }

  function end(): void {
    outbox.flush();
    socket.end();
  }

  function fail(error: unknown): void {
    if (over) return;
    const code = error instanceof Http2Error ? error.code : http2Error.protocol;
    outbox.control(goawayFrame(lastId, code));
    deps.failed(error);
    end();
    finish();
  }

  function finish(): void {
    if (over) return;
    over = true;
    for (const stream of [...streams.values()]) forget(stream);
    deps.closed();
  }

  function onCall(id: number, flags: number, path: string): void {
    const known = streams.get(id);
    if (known) {
      if (flags & flag.endStream) onRemoteEnd(known);
      return;
    }
    if (id % 2 === 0 || id <= lastId) throw new Http2Error(http2Error.protocol, "stream id goes back");
    lastId = id;
    if (closing || streams.size >= maxConcurrentStreams) {
      outbox.control(numberFrame(frameType.rstStream, id, http2Error.refusedStream));
      return;
    }
    const stream = createStream(id);
    streams.set(id, stream);
    stream.receiver = deps.open(path, stream);
    if (flags & flag.endStream) onRemoteEnd(stream);
  }

  function onRemoteEnd(stream: Stream): void {
    stream.remoteEnded = true;
    resets = Math.max(0, resets - 1);
    stream.receiver?.ended();
    if (stream.localEnded) forget(stream);
  }

  function onData(id: number, flags: number, payload: Buffer): void {
    acknowledge(payload.length);
    const stream = streams.get(id);
    if (!stream) {
      if (id === 0 || id > lastId) throw new Http2Error(http2Error.protocol, "data without a stream");
      return;
    }
    if (stream.remoteEnded) throw new Http2Error(http2Error.streamClosed, "data after the end");
    const last = (flags & flag.endStream) !== 0;
    // Known before the message is served, so that its answer ends the stream at once.
    stream.remoteEnded = last;
    stream.unacknowledged += payload.length;
    if (!last && stream.unacknowledged > streamWindow / 2) {
      outbox.control(numberFrame(frameType.windowUpdate, id, stream.unacknowledged));
      stream.unacknowledged = 0;
    }
    const bytes = unpadded(flags, payload);
    if (bytes.length > 0) stream.receiver?.data(bytes);
    if (last) onRemoteEnd(stream);
  }

  function acknowledge(bytes: number): void {
    unacknowledged += bytes;
    if (unacknowledged <= connectionWindow / 2) return;
    outbox.control(numberFrame(frameType.windowUpdate, 0, unacknowledged));
    unacknowledged = 0;
  }

  function onReset(id: number): void {
    const stream = streams.get(id);
    if (!stream) return;
    if (++resets > maxResetsAhead) throw new Http2Error(http2Error.enhanceYourCalm, "too many calls taken back");
    forget(stream);
  }

  function onSettings(flags: number, payload: Buffer): void {
    if (flags & flag.ack) return;
    if (payload.length % 6 !== 0) throw new Http2Error(http2Error.frameSize, "settings are cut off");
    // Before anything that the new settings let through.
    outbox.control(frame(frameType.settings, flag.ack, 0, Buffer.alloc(0)));
    for (let at = 0; at < payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== setting.initialWindowSize) continue;
      const value = payload.readUInt32BE(at + 2);
      if (value > largestWindow) throw new Http2Error(http2Error.flowControl, "window is too large");
      const change = value - peerWindow;
      peerWindow = value;
      for (const stream of [...streams.values()]) outbox.windowUpdate(stream, change);
    }
  }

  function onWindowUpdate(id: number, payload: Buffer): void {
    if (payload.length !== 4) throw new Http2Error(http2Error.frameSize, "window update is not four bytes");
    const by = payload.readUInt32BE(0) & largestWindow;
    const stream = streams.get(id);
    if (by === 0) throw new Http2Error(http2Error.protocol, "window update by nothing");
    if (id === 0 || stream) outbox.windowUpdate(stream, by);
  }

  const parse = createFrameParser((type, flags, id, payload) => {
    if (blocks.unfinished && type !== frameType.continuation)
      throw new Http2Error(http2Error.protocol, "header block interrupted");
    switch (type) {
      case frameType.data:
        return onData(id, flags, payload);
      case frameType.headers:
        return blocks.headers(id, flags, payload);
      case frameType.continuation:
        return blocks.continuation(id, flags, payload);
      case frameType.rstStream:
        return onReset(id);
      case frameType.settings:
        return onSettings(flags, payload);
      case frameType.ping:
        if (payload.length !== 8) throw new Http2Error(http2Error.frameSize, "ping is not eight bytes");
        // Clients measure the way with one for each call; alone it would cost both sides a turn.
        if (!(flags & flag.ack)) outbox.reply(frame(frameType.ping, flag.ack, 0, payload));
        return;
      case frameType.windowUpdate:
        return onWindowUpdate(id, payload);
      case frameType.pushPromise:
        throw new Http2Error(http2Error.protocol, "push from a client");
      default:
        // Priorities are advice, a peer's goodbye shows by its close, unknown types are to be ignored.
        return;
    }
  });

  socket.on("data", (chunk: Buffer) => {
    if (over) return;
    try {
      parse(chunk);
    } catch (error) {
      fail(error);
    }
    if (socket.writableLength > maxUnreadBytes) socket.pause();
  });
  socket.on("drain", () => {
    if (socket.isPaused()) socket.resume();
    outbox.resume();
  });
  socket.on("error", deps.failed);
  socket.on("close", finish);
  outbox.control(
    settingsFrame([
      [setting.maxConcurrentStreams, maxConcurrentStreams],
      [setting.initialWindowSize, streamWindow],
      [setting.maxFrameSize, maxFrameBytes],
      [setting.maxHeaderListSize, maxHeaderBytes],
    ]),
  );
  outbox.control(numberFrame(frameType.windowUpdate, 0, connectionWindow - defaultWindow));

  return {
    get queuedBytes() {
      return outbox.queuedBytes;
    },
    close() {
      if (closing || over) return;
      closing = true;
      outbox.control(goawayFrame(lastId, http2Error.none));
      if (streams.size === 0) end();
    },
    destroy() {
      socket.destroy();
    },
  };
}
