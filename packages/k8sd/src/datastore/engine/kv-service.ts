import {
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  type ResponseHeader,
  TxnRequest,
} from "../gen/etcd.ts";
import type { Backend } from "./backend.ts";
import { checkDelete, checkPut, checkRange, checkTxn } from "./check-request.ts";
import { encodeDelete, encodePut, encodeRange, encodeTxn } from "./encode.ts";
import { etcdErrors } from "./etcd-error.ts";
import type { Method } from "./grpc-call.ts";
import { executeRange } from "./range.ts";
import type { Room } from "./room.ts";
import { executeDelete, executePut, executeReadTxn, executeTxn, isReadOnly, needsRoom, type TxnStore } from "./txn.ts";
import { type Headers, unary } from "./unary.ts";

export interface KvDeps {
  readonly read: Backend["read"];
  /** For the work of a batch. */
  readonly running: TxnStore;
  readonly queue: Backend["queue"];
  readonly compactor: Backend["compactor"];
  readonly room: Room;
  readonly headers: Headers;
}

/** etcd's default limit for one write. */
export const maxRequestBytes = 1.5 * 1024 * 1024;

export function kvMethods({ read, running, queue, compactor, room, headers }: KvDeps): [string, Method][] {
  const fill = <T extends { header: ResponseHeader | undefined }>(response: T): T => {
    response.header = headers(response.header?.revision);
    return response;
  };
  const tooLarge = (size: number) => {
    if (size > maxRequestBytes) throw etcdErrors.requestTooLarge();
  };
  return [
    [
      "/etcdserverpb.KV/Range",
      unary(RangeRequest, encodeRange, (request, _size, permission) => {
        checkRange(request);
        permission?.range(request.key, request.rangeEnd);
        return read((view) => fill(executeRange(view, request)));
      }),
    ],
    [
      "/etcdserverpb.KV/Put",
      unary(PutRequest, encodePut, (request, size, permission) => {
        checkPut(request);
        permission?.keys([request.key]);
        room.check();
        tooLarge(size);
        return queue.submit(() => fill(executePut(running, request)));
      }),
    ],
    [
      "/etcdserverpb.KV/DeleteRange",
      unary(DeleteRangeRequest, encodeDelete, (request, size, permission) => {
        checkDelete(request);
        permission?.range(request.key, request.rangeEnd);
        tooLarge(size);
        return queue.submit(() => fill(executeDelete(running, request)));
      }),
    ],
    [
      "/etcdserverpb.KV/Txn",
      unary(TxnRequest, encodeTxn, (request, size, permission) => {
        checkTxn(request);
        permission?.txn(request);
        if (isReadOnly(request)) return read((view) => fill(executeReadTxn(view, request)));
        if (needsRoom(request)) room.check();
        tooLarge(size);
        return queue.submit(() => fill(executeTxn(running, request)));
      }),
    ],
    [
      "/etcdserverpb.KV/Compact",
      unary(CompactionRequest, CompactionResponse, async (request) => {
        await compactor.compact(request.revision, request.physical);
        return { header: headers() };
      }),
    ],
  ];
}
