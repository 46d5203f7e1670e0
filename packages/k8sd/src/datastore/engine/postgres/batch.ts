import type { KeyValue } from "../../gen/etcd.ts";
import { grpcStatus } from "../../wire.ts";
import { EtcdError } from "../etcd-error.ts";
import { keyText, spanContains } from "../key-range.ts";
import type { Change } from "../store.ts";
import type { TxnStore } from "../txn.ts";
import type { Needs } from "./needs.ts";
import type { LeaseState } from "./queries.ts";
import type { State } from "./schema.ts";

/** Everything the work of a batch may see and do. */
export interface BatchStore extends TxnStore {
  lease(id: bigint): LeaseState | undefined;
  /** Grants a lease, or gives it its whole life again. */
  keepLease(id: bigint, ttl: number): void;
  endLease(id: bigint): void;
  setAlarm(kind: number, raised: boolean): void;
}

/** One row of history to be written. */
export interface WrittenChange extends Change {
  readonly sub: number;
}

/** What a batch comes to. */
export interface Written {
  readonly revision: number;
  readonly compactRevision: number;
  readonly changes: readonly WrittenChange[];
  /** The last state of each key that changed: its row of `current`, or undefined where it is gone. */
  readonly keys: ReadonlyMap<string, WrittenChange>;
  readonly leases: ReadonlyMap<bigint, LeaseState | undefined>;
  readonly alarms: ReadonlyMap<number, boolean>;
}

export interface Batch {
  readonly store: BatchStore;
  readonly written: Written;
  /** Grows with each write. */
  readonly writes: number;
}

/** The job reads at a revision that this batch made; the next batch can read it from the database. */
export class TooEarly extends Error {
  override readonly name = "TooEarly";
}

/** PostgreSQL's index rows hold no more. Kubernetes' keys are a few hundred bytes long. */
const maxKeyBytes = 2_000;
const noBytes = new Uint8Array(0);

interface Changed {
  readonly last: WrittenChange;
  /** Undefined: it does not exist now. */
  readonly kv: KeyValue | undefined;
  /** As it was before the revision of the last change. */
  readonly before: KeyValue | undefined;
  readonly existedInBase: boolean;
}

/** What a batch writes lies over what the database holds: later work of the batch reads both. Nothing is sent here. */
export function createBatch(base: State, needs: Needs): Batch {
  let revision = base.revision;
  let compactRevision = base.compactRevision;
  let sub = 0;
  let writes = 0;
  const changes: WrittenChange[] = [];
  const overlay = new Map<string, Changed>();
  const leases = new Map<bigint, LeaseState | undefined>();
  const alarms = new Map<number, boolean>();

  const find = (key: Uint8Array): KeyValue | undefined => {
    const changed = overlay.get(keyText(key));
    return changed ? changed.kv : needs.find(key);
  };

  function change(at: number, key: Uint8Array, kv: KeyValue | undefined, existing: KeyValue | undefined): void {
    writes++;
    const name = keyText(key);
    const known = overlay.get(name);
    const before = known && known.last.kv.modRevision === at ? known.before : existing;
    sub = at === revision ? sub + 1 : 0;
    revision = at;
    const seen = kv ?? { key, value: noBytes, lease: 0n, createRevision: 0, modRevision: at, version: 0 };
    const last: WrittenChange = { type: kv ? 0 : 1, kv: seen, previous: before, sub };
    changes.push(last);
    overlay.set(name, { last, kv, before, existedInBase: known ? known.existedInBase : existing !== undefined });
  }

  const list: TxnStore["list"] = (span, limit) => {
    if (span.kind === "one") {
      const kv = find(span.key);
      return kv ? [kv] : [];
    }
    const touched = [...overlay.values()].filter(({ last }) => spanContains(span, last.kv.key));
    if (touched.length === 0) return needs.list(span, limit);
    const kept = needs.list(span, -1).filter((kv) => !overlay.has(keyText(kv.key)));
    const all = [...kept, ...touched.flatMap(({ kv }) => (kv ? [kv] : []))];
    all.sort((a, b) => Buffer.compare(a.key, b.key));
    return limit < 0 ? all : all.slice(0, limit);
  };

  const ofBase = (at: number): number => {
    if (at > base.revision) throw new TooEarly();
    return at;
  };

  const store: BatchStore = {
    revision: () => revision,
    compactRevision: () => compactRevision,
    find,
    list,
    count(span) {
      let sum = needs.count(span);
      for (const { last, kv, existedInBase } of overlay.values()) {
        if (spanContains(span, last.kv.key)) sum += Number(kv !== undefined) - Number(existedInBase);
      }
      return sum;
    },
    listAt: (span, at, limit) => needs.listAt(span, ofBase(at), limit),
    countAt: (span, at) => needs.countAt(span, ofBase(at)),
    keysOfLease(lease) {
      const kept = needs.keysOfLease(lease).filter((key) => !overlay.has(keyText(key)));
      const own = [...overlay.values()].flatMap(({ kv }) => (kv?.lease === lease ? [kv.key] : []));
      return [...kept, ...own].sort(Buffer.compare);
    },
    put(at, key, value, lease) {
      if (key.length > maxKeyBytes) {
        throw new EtcdError(grpcStatus.invalidArgument, `etcdserver: key is longer than ${maxKeyBytes} bytes`);
      }
      const old = find(key);
      const kv: KeyValue = {
        key,
        value,
        lease,
        createRevision: old?.createRevision ?? at,
        modRevision: at,
        version: (old?.version ?? 0) + 1,
      };
      change(at, key, kv, old);
    },
    remove(at, span) {
      const found = span.kind === "one" ? find(span.key) : list(span, -1);
      const kvs = found === undefined ? [] : Array.isArray(found) ? found : [found];
      for (const kv of kvs) change(at, kv.key, undefined, kv);
      return kvs.length;
    },
    setCompactRevision(at) {
      writes++;
      compactRevision = at;
    },
    leaseExists: (id) => store.lease(id) !== undefined,
    lease: (id) => (leases.has(id) ? leases.get(id) : needs.lease(id)),
    keepLease(id, ttl) {
      writes++;
      leases.set(id, { ttl, remainingMs: ttl * 1000 });
    },
    endLease(id) {
      writes++;
      leases.set(id, undefined);
    },
    setAlarm(kind, raised) {
      writes++;
      alarms.set(kind, raised);
    },
  };

  return {
    store,
    get writes() {
      return writes;
    },
    get written() {
      const keys = new Map([...overlay].map(([name, { last }]) => [name, last]));
      return { revision, compactRevision, changes, keys, leases, alarms };
    },
  };
}
