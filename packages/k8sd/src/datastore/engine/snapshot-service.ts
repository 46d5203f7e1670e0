import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { SnapshotResponse } from "../gen/etcd.ts";
import { generated } from "./encode.ts";
import type { Method, StreamCall } from "./grpc-call.ts";
import type { Maintenance } from "./maintenance.ts";
import type { Headers } from "./unary.ts";

const encode = generated(SnapshotResponse);
const chunkBytes = 32 * 1024;

/** The store's file in chunks, then its SHA-256: clients check the one by the other, as they do with etcd. */
export function snapshotMethod(maintenance: Maintenance, headers: Headers, version: string): Method {
  return {
    kind: "stream",
    serve(call) {
      const over = new AbortController();
      let wake: (() => void) | undefined;
      const drained = () => wake?.();
      const send: Send = async (blob, remainingBytes) => {
        const message = { header: headers(), remainingBytes, blob, version };
        const taken = call.send((writer) => encode(message, writer));
        if (taken || over.signal.aborted) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      };
      let started = false;
      return {
        message() {
          if (started) return;
          started = true;
          call.permission?.administration();
          void stream(maintenance, send, call, over.signal);
        },
        ended() {},
        drained,
        closed() {
          over.abort();
          drained();
        },
      };
    },
  };
}

type Send = (blob: Buffer, remainingBytes: number) => Promise<void>;

async function stream(maintenance: Maintenance, send: Send, call: StreamCall, over: AbortSignal): Promise<void> {
  try {
    await using copy = await maintenance.snapshot();
    await using file = await open(copy.file);
    const { size } = await file.stat();
    const sum = createHash("sha256");
    let sent = 0;
    while (sent < size && !over.aborted) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, sent);
      if (bytesRead === 0) throw new Error("snapshot ended early");
      const blob = buffer.subarray(0, bytesRead);
      sum.update(blob);
      sent += bytesRead;
      await send(blob, size - sent);
    }
    if (!over.aborted) await send(sum.digest(), 0);
    call.end();
  } catch (error) {
    call.end(error);
  }
}
