import type * as wire from "@k8sd/k8sd/datastore/gen/etcd.ts";
import { bytes, defaults, type EtcdCalls, text } from "../support/etcd-calls.ts";
import { GrpcFailure } from "../support/grpc-client.ts";
import type { Back, CompareStep, DeleteStep, KvStep, PutStep, RangeStep, Step, TxnStep, WatchStep } from "./program.ts";

/** Turns what a program says of revisions into the field of a request. */
export type Resolve = (back: Back) => number;

/** What a client can see of an answer, in a form that can be compared and printed. */
export type Observed = { readonly [name: string]: unknown };

/** Runs a step that is one call; watches have streams of their own. */
export async function observe(calls: EtcdCalls, step: Step, at: Resolve): Promise<Observed> {
  try {
    return plain(await answerTo(calls, step, at)) as Observed;
  } catch (error) {
    if (error instanceof GrpcFailure && error.answered) return { code: error.code, error: error.message };
    throw error;
  }
}

async function answerTo(calls: EtcdCalls, step: Step, at: Resolve): Promise<unknown> {
  switch (step.call) {
    case "range":
      return calls.range(rangeRequest(step, at));
    case "put":
      return calls.put(putRequest(step));
    case "delete":
      return calls.remove(deleteRequest(step));
    case "txn":
      return calls.txn(txnRequest(step, at));
    case "compact":
      return calls.compact({ revision: at(step.at), physical: step.physical });
    case "grant":
      return calls.grant({ id: BigInt(step.id), ttl: step.ttl });
    case "revoke":
      return calls.revoke({ id: BigInt(step.id) });
    case "keepalive":
      return calls.keepAlive(BigInt(step.id));
    case "life": {
      const life = await calls.life({ id: BigInt(step.id), keys: step.keys });
      return { ...life, ttl: Math.sign(life.ttl), keys: life.keys.toSorted(Buffer.compare) };
    }
    case "leases": {
      const { header, leases } = await calls.leases({});
      return { header, leases: leases.map(({ id }) => String(id)).sort() };
    }
    case "watch":
    case "cancel":
    case "progress":
      throw new Error(`${step.call} is not a call`);
  }
}

function rangeRequest(step: RangeStep, at: Resolve): wire.RangeRequest {
  return {
    key: bytes(step.key),
    rangeEnd: bytes(step.end),
    limit: step.limit,
    revision: at(step.at),
    sortOrder: step.order,
    sortTarget: step.target,
    serializable: step.serializable,
    keysOnly: step.keysOnly,
    countOnly: step.countOnly,
    minModRevision: at(step.minMod),
    maxModRevision: at(step.maxMod),
    minCreateRevision: at(step.minCreate),
    maxCreateRevision: at(step.maxCreate),
  };
}

function putRequest(step: PutStep): wire.PutRequest {
  const { prevKv, ignoreValue, ignoreLease } = step;
  const value = bytes(step.value);
  return { key: bytes(step.key), value, lease: BigInt(step.lease), prevKv, ignoreValue, ignoreLease };
}

const deleteRequest = (step: DeleteStep): wire.DeleteRangeRequest => ({
  key: bytes(step.key),
  rangeEnd: bytes(step.end),
  prevKv: step.prevKv,
});

function txnRequest(step: TxnStep, at: Resolve): wire.TxnRequest {
  return {
    compare: step.compare.map((compare) => compareRequest(compare, at)),
    success: step.success.map((op) => opRequest(op, at)),
    failure: step.failure.map((op) => opRequest(op, at)),
  };
}

function compareRequest(step: CompareStep, at: Resolve): wire.Compare {
  const { result, target } = step;
  return { key: bytes(step.key), rangeEnd: bytes(step.end), result, target, targetUnion: operand(step.operand, at) };
}

function operand(step: CompareStep["operand"], at: Resolve): wire.Compare["targetUnion"] {
  switch (step.kind) {
    case "version":
      return { $case: "version", value: BigInt(step.value) };
    case "create":
      return { $case: "createRevision", value: BigInt(at(step.back)) };
    case "mod":
      return { $case: "modRevision", value: BigInt(at(step.back)) };
    case "value":
      return { $case: "value", value: bytes(step.value) };
    case "lease":
      return { $case: "lease", value: BigInt(step.value) };
    case "none":
      return undefined;
  }
}

function opRequest(step: KvStep, at: Resolve): wire.RequestOp {
  switch (step.call) {
    case "range":
      return { request: { $case: "requestRange", value: rangeRequest(step, at) } };
    case "put":
      return { request: { $case: "requestPut", value: putRequest(step) } };
    case "delete":
      return { request: { $case: "requestDeleteRange", value: deleteRequest(step) } };
    case "txn":
      return { request: { $case: "requestTxn", value: txnRequest(step, at) } };
  }
}

export const watchRequest = (step: WatchStep, at: Resolve): wire.WatchCreateRequest => ({
  ...defaults.watch,
  key: bytes(step.key),
  rangeEnd: bytes(step.end),
  startRevision: at(step.from),
  filters: [...step.filters],
  prevKv: step.prevKv,
  fragment: step.fragment,
  watchId: step.id,
});

/** Bytes and ids as text, of headers the revision alone. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return text(value);
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, field]) => [
    name,
    name === "header" ? ((field as wire.ResponseHeader | undefined)?.revision ?? 0) : plain(field),
  ]);
  return Object.fromEntries(entries);
}
