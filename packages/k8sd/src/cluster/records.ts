import type { Datastore } from "../datastore/datastore.ts";

/** JSON documents by key. What is read was written by us: its shape is the reader's to know. */
export interface Records {
  get<T>(key: string, signal: AbortSignal): Promise<T | undefined>;
  list<T>(prefix: string, signal: AbortSignal): Promise<readonly T[]>;
  put<T>(key: string, value: T, signal: AbortSignal): Promise<void>;
  delete(key: string, signal: AbortSignal): Promise<void>;
  /** Creates all of them in one transaction, or nothing when one exists. @returns whether it did */
  createAll(values: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<boolean>;
}
