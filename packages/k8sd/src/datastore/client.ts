import { type EtcdClientOptions, openChannel } from "./channel.ts";
import { rangeRequest, rangeResult, txnRequest, txnResult } from "./convert.ts";
import type { Datastore } from "./datastore.ts";
import {
  CompactionRequest,
  CompactionResponse,
  MemberListRequest,
  MemberListResponse,
  RangeRequest,
  RangeResponse,
  StatusRequest,
  StatusResponse,
  TxnRequest,
  TxnResponse,
} from "./gen/etcd.ts";
import { keepLease } from "./lease.ts";
import { watchRange } from "./watch.ts";

/** Connects when first used and again whenever it has to; dispose it to let the connections go. */
export function createEtcdClient(options: EtcdClientOptions): Datastore {
  const channel = openChannel(options);
  const closed = new AbortController();
  const untilClosed = (signal: AbortSignal) => AbortSignal.any([signal, closed.signal]);
  return {
    async range(range, call = {}) {
      const request = rangeRequest(range, call);
      const path = "/etcdserverpb.KV/Range";
      return rangeResult(await channel.unary("read from", path, RangeRequest, RangeResponse, request, call));
    },
    async txn(txn, call) {
      const request = txnRequest(txn);
      return txnResult(await channel.unary("write to", "/etcdserverpb.KV/Txn", TxnRequest, TxnResponse, request, call));
    },
    watch: (range, watch) => watchRange(channel, range, { ...watch, signal: untilClosed(watch.signal) }),
    lease: (ttlSeconds, signal) => keepLease(channel, ttlSeconds, untilClosed(signal)),
    async compact(revision, call) {
      const request = { revision, physical: call?.physical ?? false };
      const path = "/etcdserverpb.KV/Compact";
      await channel.unary("compact", path, CompactionRequest, CompactionResponse, request, call);
    },
    async status(call) {
      const path = "/etcdserverpb.Maintenance/Status";
      const answer = await channel.unary("ask the state of", path, StatusRequest, StatusResponse, {}, call);
      const { header, version, dbSize, dbSizeInUse, leader, isLearner, errors } = answer;
      const revision = header?.revision ?? 0;
      return { version, revision, dbSize, dbSizeInUse, leader, memberId: header?.memberId ?? 0n, isLearner, errors };
    },
    async memberList(call) {
      const path = "/etcdserverpb.Cluster/MemberList";
      const request = { linearizable: true };
      const answer = await channel.unary(
        "list the members of",
        path,
        MemberListRequest,
        MemberListResponse,
        request,
        call,
      );
      return answer.members;
    },
    async [Symbol.asyncDispose]() {
      closed.abort();
      channel.close();
    },
  };
}
