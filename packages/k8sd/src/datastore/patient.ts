import type { CallOptions } from "./datastore.ts";

/** One of many calls of a long work, each of which a busy store answers late. */
const callMs = 30_000;

export const patient = (signal: AbortSignal): CallOptions => ({ signal, timeoutMs: callMs });
