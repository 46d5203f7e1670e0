/** What one client asked of one key, and when, in milliseconds of one monotonic clock. */
export interface Operation {
  readonly client: number;
  readonly key: string;
  readonly call:
    | { readonly kind: "read" }
    /** Values are unique in a history. */
    | { readonly kind: "put"; readonly value: string }
    | { readonly kind: "delete" }
    | { readonly kind: "swap"; readonly expected: string | undefined; readonly value: string };
  readonly start: number;
  /** Infinity: no answer came, so it may take effect at any later time, or never. */
  readonly end: number;
  readonly answer?: Answer;
}

export interface Answer {
  /** What the key held before (put, delete) or holds (read, refused swap). */
  readonly value: string | undefined;
  readonly version: number;
  /** Of a swap: whether it took place. */
  readonly swapped?: boolean;
  /** The revision in the answer's header; of a change the one it made. */
  readonly revision: number;
}

/** True when it surely changed something. */
export function changed({ call, answer }: Operation): boolean {
  if (!answer || call.kind === "read") return false;
  if (call.kind === "put") return true;
  return call.kind === "swap" ? answer.swapped === true : answer.value !== undefined;
}

/** One event as a watcher got it. */
export interface SeenEvent {
  readonly key: string;
  readonly revision: number;
  /** undefined: deleted. */
  readonly value: string | undefined;
  readonly version: number;
  readonly previous: string | undefined;
}

export interface SeenWatch {
  readonly name: string;
  /** The first revision it asked for. */
  readonly from: number;
  readonly prefix: string;
  /** Events and progress in the order of arrival. */
  readonly seen: readonly (SeenEvent | { readonly progress: number })[];
}
