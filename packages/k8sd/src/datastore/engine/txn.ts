import type {
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RequestOp,
  ResponseHeader,
  ResponseOp,
  TxnRequest,
  TxnResponse,
} from "../gen/etcd.ts";
import { compareHolds } from "./compare.ts";
import { etcdErrors } from "./etcd-error.ts";
import { keySpan } from "./key-range.ts";
import { executeRange } from "./range.ts";
import type { BatchView, ReadView } from "./store.ts";

export interface TxnStore extends BatchView {
  leaseExists(lease: bigint): boolean;
}

/** A transaction whose compares are decided: the operations to run, nested ones with their own decision. */
interface Branch {
  readonly succeeded: boolean;
  readonly ops: readonly RequestOp[];
  readonly nested: ReadonlyMap<RequestOp, Branch>;
}

const header = (revision: number): ResponseHeader => ({ clusterId: 0n, memberId: 0n, revision, raftTerm: 0 });

/**
 * All compares, nested ones too, see the state before the transaction, and everything that can be refused is refused before
 * the first change: so an operation that fails leaves nothing behind in the batch it shares.
 */
export function executeTxn(store: TxnStore, request: TxnRequest): TxnResponse {
  const branch = decide(store, request);
  checkBranch(store, branch);
  return runBranch(store, branch, store.revision() + 1);
}

/** For a request that `isReadOnly` lets through. */
export function executeReadTxn(view: ReadView, request: TxnRequest): TxnResponse {
  return executeTxn(
    { ...view, put: refuseChange, remove: refuseChange, setCompactRevision: refuseChange, leaseExists: refuseChange },
    request,
  );
}

function refuseChange(): never {
  throw new Error("a read-only transaction changes nothing");
}

export function executePut(store: TxnStore, request: PutRequest): PutResponse {
  checkLease(store, request);
  checkOldKey(store, request);
  return put(store, request, store.revision() + 1);
}

export function executeDelete(store: TxnStore, request: DeleteRangeRequest): DeleteRangeResponse {
  return remove(store, request, store.revision() + 1);
}

export function isReadOnly(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].every(
    ({ request: op }) => op?.$case === "requestRange" || (op?.$case === "requestTxn" && isReadOnly(op.value)),
  );
}

/** Only puts cost room; deletions stay possible when there is none. */
export function needsRoom(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].some(
    ({ request: op }) => op?.$case === "requestPut" || (op?.$case === "requestTxn" && needsRoom(op.value)),
  );
}

function decide(store: TxnStore, request: TxnRequest): Branch {
  const succeeded = request.compare.every((compare) => compareHolds(store, compare));
  const ops = succeeded ? request.success : request.failure;
  const nested = new Map<RequestOp, Branch>();
  for (const op of ops) {
    if (op.request?.$case === "requestTxn") nested.set(op, decide(store, op.request.value));
  }
  return { succeeded, ops, nested };
}

/** In the order of the operations, as etcd looks at them, so that the same refusal wins. */
function checkBranch(store: TxnStore, branch: Branch): void {
  for (const { request } of opsToRun(branch)) {
    if (request?.$case === "requestPut") {
      checkOldKey(store, request.value);
      checkLease(store, request.value);
    } else if (request?.$case === "requestRange") {
      const at = request.value.revision;
      if (at > store.revision()) throw etcdErrors.futureRevision();
      if (at !== 0 && at < store.compactRevision()) throw etcdErrors.compacted();
    }
  }
}

function* opsToRun(branch: Branch): Generator<RequestOp> {
  for (const op of branch.ops) {
    const inner = branch.nested.get(op);
    if (inner) yield* opsToRun(inner);
    else yield op;
  }
}

function checkOldKey(store: TxnStore, request: PutRequest): void {
  if ((request.ignoreValue || request.ignoreLease) && !store.find(request.key)) throw etcdErrors.keyNotFound();
}

function checkLease(store: TxnStore, request: PutRequest): void {
  if (request.lease !== 0n && !store.leaseExists(request.lease)) throw etcdErrors.leaseNotFound();
}

function runBranch(store: TxnStore, branch: Branch, at: number): TxnResponse {
  const responses = branch.ops.map((op) => runOp(store, op, branch, at));
  return { header: header(store.revision()), succeeded: branch.succeeded, responses };
}

function runOp(store: TxnStore, op: RequestOp, branch: Branch, at: number): ResponseOp {
  const { request } = op;
  switch (request?.$case) {
    case "requestRange":
      return { response: { $case: "responseRange", value: executeRange(store, request.value) } };
    case "requestPut":
      return { response: { $case: "responsePut", value: put(store, request.value, at) } };
    case "requestDeleteRange":
      return { response: { $case: "responseDeleteRange", value: remove(store, request.value, at) } };
    case "requestTxn": {
      const inner = branch.nested.get(op);
      if (!inner) throw new Error("nested transaction without a decision");
      return { response: { $case: "responseTxn", value: { ...runBranch(store, inner, at), header: header(0) } } };
    }
    case undefined:
      throw etcdErrors.keyNotFound();
  }
}

function put(store: TxnStore, request: PutRequest, at: number): PutResponse {
  const wantsOld = request.prevKv || request.ignoreValue || request.ignoreLease;
  const old = wantsOld ? store.find(request.key) : undefined;
  const value = request.ignoreValue && old ? old.value : request.value;
  const lease = request.ignoreLease && old ? old.lease : request.lease;
  store.put(at, request.key, value, lease);
  return { header: header(at), prevKv: request.prevKv ? old : undefined };
}

function remove(store: TxnStore, request: DeleteRangeRequest, at: number): DeleteRangeResponse {
  const span = keySpan(request.key, request.rangeEnd);
  const prevKvs = request.prevKv ? store.list(span, -1) : [];
  const deleted = store.remove(at, span);
  return { header: header(store.revision()), deleted, prevKvs };
}
