import { prefixEnd } from "../convert.ts";
import type { RequestOp, TxnRequest, WatchCreateRequest } from "../gen/etcd.ts";
import { grpcStatus } from "../wire.ts";
import { EtcdError } from "./etcd-error.ts";

/** What a client whose keys are limited may address. Each check throws etcd's "permission denied". */
export interface Permission {
  /** Key and range_end as the protocol has them. */
  range(key: Uint8Array, rangeEnd: Uint8Array): void;
  txn(request: TxnRequest): void;
  /** False instead of an error: a watch is refused within its stream. */
  watch(request: WatchCreateRequest): boolean;
  keys(keys: readonly Uint8Array[]): void;
  /** What concerns the whole store. */
  administration(): void;
}

/** Whose client certificate has this common name gets the keys with these prefixes, and no others. */
export type KeyLimits = ReadonlyMap<string, readonly string[]>;

/** The text of a refused watch, as etcd writes it. */
export const watchDenied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";

const denied = () => new EtcdError(grpcStatus.permissionDenied, "etcdserver: permission denied");

export function createPermission(prefixes: readonly string[]): Permission {
  const allowed = prefixes.map((prefix) => Buffer.from(prefix));

  function has(key: Uint8Array, rangeEnd: Uint8Array): boolean {
    const prefix = allowed.find((candidate) => startsWith(key, candidate));
    if (prefix === undefined) return false;
    // An end of one zero byte means all keys that follow; it is no end within any prefix.
    return rangeEnd.length === 0 || endsWithin(prefix, rangeEnd);
  }

  const range = (key: Uint8Array, rangeEnd: Uint8Array) => {
    if (!has(key, rangeEnd)) throw denied();
  };
  const operation = ({ request }: RequestOp) => {
    switch (request?.$case) {
      case "requestRange":
      case "requestDeleteRange":
        return range(request.value.key, request.value.rangeEnd);
      case "requestPut":
        return range(request.value.key, oneKey);
      case "requestTxn":
        return txn(request.value);
      case undefined:
        return;
    }
  };
  function txn(request: TxnRequest): void {
    for (const { key, rangeEnd } of request.compare) range(key, rangeEnd);
    request.success.forEach(operation);
    request.failure.forEach(operation);
  }

  return {
    range,
    txn,
    watch: ({ key, rangeEnd }) => has(key, rangeEnd),
    keys(keys) {
      for (const key of keys) range(key, oneKey);
    },
    administration() {
      throw denied();
    },
  };
}

const oneKey = new Uint8Array();

function startsWith(key: Uint8Array, prefix: Buffer): boolean {
  return key.length >= prefix.length && prefix.equals(key.subarray(0, prefix.length));
}

/** Whether all keys from one with the prefix up to `end` have it too. */
function endsWithin(prefix: Buffer, end: Uint8Array): boolean {
  return startsWith(end, prefix) || Buffer.compare(end, prefixEnd(prefix)) === 0;
}
