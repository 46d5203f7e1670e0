import type { Datastore, KeyValue, Op } from "../datastore/datastore.ts";

/** JSON documents by key. What is read was written by us: its shape is the reader's to know. */
export interface Records {
  get<T>(key: string, signal: AbortSignal): Promise<T | undefined>;
  list<T>(prefix: string, signal: AbortSignal): Promise<readonly T[]>;
  put<T>(key: string, value: T, signal: AbortSignal): Promise<void>;
  delete(key: string, signal: AbortSignal): Promise<void>;
  /** Creates all of them in one transaction, or nothing when one exists. @returns whether it did */
  createAll(values: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<boolean>;
}

/** The datastore of a healthy cluster answers in milliseconds; one without quorum must not hold a caller for long. */
const timeoutMs = 5_000;

export function createRecords(datastore: Pick<Datastore, "range" | "txn">): Records {
  const parse = <T>(kv: KeyValue): T => JSON.parse(Buffer.from(kv.value).toString("utf8")) as T;
  const putOp = (key: string, value: unknown): Op => ({ op: "put", key, value: JSON.stringify(value) });
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
      await datastore.txn({ success: [putOp(key, value)] }, { signal, timeoutMs });
    },
    delete: async (key, signal) => {
      await datastore.txn({ success: [{ op: "delete", range: { key } }] }, { signal, timeoutMs });
    },
    createAll: async (values, signal) => {
      const { succeeded } = await datastore.txn(
        {
          compare: Object.keys(values).map((key) => ({ key, target: "create", is: "=", to: 0 })),
          success: Object.entries(values).map(([key, value]) => putOp(key, value)),
        },
        { signal, timeoutMs },
      );
      return succeeded;
    },
  };
}
