import type { Duplex } from "node:stream";
import {
  defaultWindow,
  flag,
  frame,
  frameHeaderBytes,
  frameType,
  largestWindow,
  maxFrameBytes,
  writeFrameHeader,
} from "./frames.ts";
import { noTable } from "./hpack.ts";
import { Http2Error, http2Error } from "./http2-error.ts";

/** Bytes before a message that its sender leaves free, so that the frame's header needs no copy. */
export const headroom = frameHeaderBytes;

/** What one stream has to send. */
export interface Outgoing {
  readonly id: number;
  window: number;
  /** Bytes that wait for the peer, and the trailers that come after them. */
  readonly queue: Buffer[];
  queued: number;
  trailers: Buffer | undefined;
  /** Its bytes count among those for which further calls wait. */
  counted: boolean;
  /** The queue is empty again after it was not. */
  drained(): void;
  /** All was handed to the socket, the end too. */
  finished(): void;
}

/** The sending half of a connection: windows, turns between the streams, one write per turn of the event loop. */
export interface Outbox {
  /** What waits on the streams that are counted. */
  readonly queuedBytes: number;
  /** A frame that needs no window. */
  control(bytes: Buffer): void;
  /** The same, for one that goes with an answer, if there is one at once. */
  reply(bytes: Buffer): void;
  headers(id: number, block: Buffer): void;
  /** The first `headroom` bytes are overwritten. */
  message(stream: Outgoing, bytes: Buffer): void;
  end(stream: Outgoing, trailers: Buffer): void;
  drop(stream: Outgoing): void;
  windowUpdate(stream: Outgoing | undefined, by: number): void;
  flush(): void;
  /** The socket took what it had. */
  resume(): void;
}

/** What the socket may hold before streams wait: enough to keep it busy, little enough for many slow peers. */
const socketBytes = 128 * 1024;
/** Up to here the frames of a turn are copied into one. */
const joinedBytes = 32 * 1024;
/** A stream's turn, when several have much to send. */
const turnBytes = 64 * 1024;

export function createOutbox(socket: Duplex): Outbox {
  const waiting = new Set<Outgoing>();
  let ready: Buffer[] = [];
  let readyBytes = 0;
  let window = defaultWindow;
  let queuedBytes = 0;
  let scheduled = false;
  let delayed: NodeJS.Immediate | undefined;
  let greeted = false;

  const congested = (): boolean => readyBytes + socket.writableLength > socketBytes;

  function push(bytes: Buffer): void {
    ready.push(bytes);
    readyBytes += bytes.length;
    if (scheduled) return;
    scheduled = true;
    // After all answers that become known in this turn.
    process.nextTick(flush);
  }

  function flush(): void {
    scheduled = false;
    clearImmediate(delayed);
    delayed = undefined;
    if (ready.length === 0) return;
    // Small frames are cheapest as one; large ones are not copied once more.
    const parts = readyBytes > joinedBytes ? ready : [Buffer.concat(ready, readyBytes)];
    ready = [];
    readyBytes = 0;
    if (socket.destroyed) return;
    socket.cork();
    for (const bytes of parts) socket.write(bytes);
    socket.uncork();
  }

  function headersFrame(id: number, block: Buffer, flags: number): Buffer {
    const whole = greeted ? block : Buffer.concat([noTable, block]);
    greeted = true;
    return frame(frameType.headers, flags | flag.endHeaders, id, whole);
  }

  function finish(stream: Outgoing): void {
    const { trailers } = stream;
    if (!trailers) return;
    stream.trailers = undefined;
    push(headersFrame(stream.id, trailers, flag.endStream));
    stream.finished();
  }

  function count(stream: Outgoing, bytes: number): void {
    stream.queued += bytes;
    if (stream.counted) queuedBytes += bytes;
  }

  function spend(stream: Outgoing, bytes: number): void {
    stream.window -= bytes;
    window -= bytes;
  }

  /** Sends what windows and socket allow; true when nothing is left. */
  function pump(stream: Outgoing): boolean {
    let turn = turnBytes;
    for (let bytes = stream.queue[0]; bytes !== undefined; bytes = stream.queue[0]) {
      if (turn <= 0 || congested()) return false;
      const size = Math.min(bytes.length, maxFrameBytes, stream.window, window);
      if (size <= 0) return false;
      const header = Buffer.allocUnsafe(frameHeaderBytes);
      writeFrameHeader(header, 0, size, frameType.data, 0, stream.id);
      push(header);
      push(bytes.subarray(0, size));
      spend(stream, size);
      turn -= size;
      count(stream, -size);
      if (size === bytes.length) stream.queue.shift();
      else stream.queue[0] = bytes.subarray(size);
    }
    return true;
  }

  function pumpAll(): void {
    // A stream that is sent to the end of the line is met again in the same loop.
    for (const stream of waiting) {
      if (window <= 0 || congested()) return;
      const before = stream.queued;
      const empty = pump(stream);
      if (!empty && stream.queued === before) continue;
      waiting.delete(stream);
      if (!empty) waiting.add(stream);
      else if (stream.trailers) finish(stream);
      else stream.drained();
    }
  }

  return {
    get queuedBytes() {
      return queuedBytes;
    },
    control: push,
    reply(bytes) {
      ready.push(bytes);
      readyBytes += bytes.length;
      if (scheduled || delayed) return;
      // A write that arrived with it runs in the first of these turns.
      delayed = setImmediate(() => {
        delayed = setImmediate(flush);
      });
    },
    headers(id, block) {
      push(headersFrame(id, block, 0));
    },
    message(stream, bytes) {
      const size = bytes.length - headroom;
      const fits = size <= maxFrameBytes && size <= stream.window && size <= window;
      if (fits && stream.queued === 0 && !congested()) {
        writeFrameHeader(bytes, 0, size, frameType.data, 0, stream.id);
        spend(stream, size);
        push(bytes);
        return;
      }
      stream.queue.push(bytes.subarray(headroom));
      count(stream, size);
      waiting.add(stream);
      if (pump(stream)) waiting.delete(stream);
    },
    end(stream, trailers) {
      stream.trailers = trailers;
      if (stream.queued === 0) finish(stream);
    },
    drop(stream) {
      count(stream, -stream.queued);
      stream.queue.length = 0;
      stream.trailers = undefined;
      waiting.delete(stream);
    },
    windowUpdate(stream, by) {
      const grown = (stream ? stream.window : window) + by;
      if (grown > largestWindow) throw new Http2Error(http2Error.flowControl, "window is too large");
      if (stream) stream.window = grown;
      else window = grown;
      pumpAll();
    },
    flush,
    resume: pumpAll,
  };
}
