import { type KeySpan, spanContains, spanText } from "./key-range.ts";
import type { Change } from "./store.ts";

/** Spans whose number of keys is kept up to date: what is listed page by page or polled for its size. */
export interface Counts {
  of(span: KeySpan, read: () => number): number;
  follow(changes: readonly Change[]): void;
}

/** Each costs a comparison for every key that is made or deleted. */
const mostSpans = 8;
/** Fewer keys are counted in less time than it takes to keep their number. */
const worthKeeping = 1_000;

/** A count walks every key of its span, which takes longer than the page of the list that asks for it. */
export function createCounts(): Counts {
  const known = new Map<string, { readonly span: KeySpan; count: number }>();

  return {
    of(span, read) {
      const name = spanText(span);
      const entry = known.get(name);
      // Those that were not asked for the longest go first.
      known.delete(name);
      if (entry) {
        known.set(name, entry);
        return entry.count;
      }
      const count = read();
      if (count < worthKeeping) return count;
      known.set(name, { span: copyOf(span), count });
      for (const oldest of known.keys()) {
        if (known.size <= mostSpans) break;
        known.delete(oldest);
      }
      return count;
    },
    follow(changes) {
      if (known.size === 0) return;
      for (const { type, kv } of changes) {
        const step = type === 1 ? -1 : kv.version === 1 ? 1 : 0;
        if (step === 0) continue;
        for (const entry of known.values()) if (spanContains(entry.span, kv.key)) entry.count += step;
      }
    },
  };
}

/** The request's bytes are slices of a network buffer that would otherwise stay in memory. */
function copyOf(span: KeySpan): KeySpan {
  const key = Uint8Array.from(span.key);
  return span.kind === "interval" ? { kind: span.kind, key, end: Uint8Array.from(span.end) } : { kind: span.kind, key };
}
