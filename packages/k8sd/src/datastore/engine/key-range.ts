/** What a request addresses: one key, a half-open interval, or everything from a key on. */
export type KeySpan =
  | { readonly kind: "one"; readonly key: Uint8Array }
  | { readonly kind: "interval"; readonly key: Uint8Array; readonly end: Uint8Array }
  | { readonly kind: "from"; readonly key: Uint8Array };

/** The protocol's key and range_end: no end is one key, an end of a single zero byte has no upper bound. */
export function keySpan(key: Uint8Array, rangeEnd: Uint8Array): KeySpan {
  if (rangeEnd.length === 0) return { kind: "one", key };
  if (rangeEnd.length === 1 && rangeEnd[0] === 0) return { kind: "from", key };
  return { kind: "interval", key, end: rangeEnd };
}

export function spanContains(span: KeySpan, key: Uint8Array): boolean {
  const atOrAfter = Buffer.compare(key, span.key);
  switch (span.kind) {
    case "one":
      return atOrAfter === 0;
    case "from":
      return atOrAfter >= 0;
    case "interval":
      return atOrAfter >= 0 && Buffer.compare(key, span.end) < 0;
  }
}

/** A span as a map index. */
export function spanText(span: KeySpan): string {
  return `${span.kind} ${span.key.length} ${keyText(span.key)}${span.kind === "interval" ? keyText(span.end) : ""}`;
}

/** A key as a map index: latin1 keeps every byte apart. */
export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
}
