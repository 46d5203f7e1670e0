/**
 * A program is plain JSON, so that a failing one can be cut down, printed and kept. Revisions in it are relative, so that it
 * means the same on any store: `Back` says how many revisions behind the newest; negative: ahead; null: the field is left out.
 */
export type Back = number | null;

export interface RangeStep {
  readonly call: "range";
  readonly key: string;
  readonly end: string;
  readonly limit: number;
  readonly at: Back;
  readonly order: number;
  readonly target: number;
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minMod: Back;
  readonly maxMod: Back;
  readonly minCreate: Back;
  readonly maxCreate: Back;
}

export interface PutStep {
  readonly call: "put";
  readonly key: string;
  readonly value: string;
  /** Ids as text, because they use all 64 bits. */
  readonly lease: string;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface DeleteStep {
  readonly call: "delete";
  readonly key: string;
  readonly end: string;
  readonly prevKv: boolean;
}

export interface CompareStep {
  readonly key: string;
  readonly end: string;
  readonly result: number;
  readonly target: number;
  /** What it is compared with; may be of another kind than the target. */
  readonly operand:
    | { readonly kind: "version"; readonly value: number }
    | { readonly kind: "create" | "mod"; readonly back: Back }
    | { readonly kind: "value" | "lease"; readonly value: string }
    | { readonly kind: "none" };
}

export interface TxnStep {
  readonly call: "txn";
  readonly compare: readonly CompareStep[];
  readonly success: readonly KvStep[];
  readonly failure: readonly KvStep[];
}

export type KvStep = RangeStep | PutStep | DeleteStep | TxnStep;

export interface WatchStep {
  readonly call: "watch";
  readonly key: string;
  readonly end: string;
  readonly from: Back;
  readonly filters: readonly number[];
  readonly prevKv: boolean;
  readonly fragment: boolean;
  /** 0: the server chooses. */
  readonly id: number;
}

export type Step =
  | KvStep
  | WatchStep
  | { readonly call: "compact"; readonly at: number; readonly physical: boolean }
  | { readonly call: "grant"; readonly id: string; readonly ttl: number }
  | { readonly call: "revoke" | "keepalive"; readonly id: string }
  | { readonly call: "life"; readonly id: string; readonly keys: boolean }
  | { readonly call: "leases" }
  | { readonly call: "cancel"; readonly id: number }
  /** Asks how far the client's watches are, and waits for the answer. */
  | { readonly call: "progress" };

export interface ClientStep {
  readonly client: number;
  readonly step: Step;
}

/**
 * ordered: one operation at a time over all clients, so that every revision is comparable; watches run beside it.
 * concurrent: each client goes at its own pace within keys of its own.
 */
export interface Program {
  readonly mode: "ordered" | "concurrent";
  readonly seed: number;
  readonly steps: readonly ClientStep[];
}

export type Random = (below: number) => number;

/** mulberry32: the same seed gives the same program everywhere. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
