import type { Datastore, KeyValue } from "../datastore/datastore.ts";

/** JSON documents by key. What is read was written by us: its shape is the reader's to know. */
export interface Records {
  get<T>(key: string, signal: AbortSignal): Promise<T | undefined>;
  list<T>(prefix: string, signal: AbortSignal): Promise<readonly T[]>;
  put<T>(key: string, value: T, signal: AbortSignal): Promise<void>;
  delete(key: string, signal: AbortSignal): Promise<void>;
}

/** The datastore of a healthy cluster answers in milliseconds; one without quorum must not hold a caller for long. */
const timeoutMs = 5_000;

export function createRecords(datastore: Pick<Datastore, "range" | "txn">): Records {
  const parse = <T>(kv: KeyValue): T => JSON.parse(Buffer.from(kv.value).toString("utf8")) as T;
  return {
    get: async <T>(key: string, signal: AbortSignal) => {
      const { kvs } = await datastore.range({ key }, { signal, timeoutMs });
      return kvs[0] && parse<T>(kvs[0]);
    },
    list: async <T>(prefix: string, signal: AbortSignal) => {
      const { kvs } = await datastore.range({ prefix }, { signal, timeoutMs });
      return kvs.map((kv) => parse<T>(kv));
    },
    put: async (key, value, signal) => {
      await datastore.txn({ success: [{ op: "put", key, value: JSON.stringify(value) }] }, { signal, timeoutMs });
    },
    delete: async (key, signal) => {
      await datastore.txn({ success: [{ op: "delete", range: { key } }] }, { signal, timeoutMs });
    },
  };
}
