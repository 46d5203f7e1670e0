/** What is read of the answers of an S3-compatible store. Names are ours, so what needs another escape than XML's own is none of them. */
export interface ObjectList {
  readonly objects: readonly { readonly key: string; readonly bytes: number }[];
  /** Where the next page begins. */
  readonly next: string | undefined;
}

/** Of ListObjectsV2. */
export function parseList(xml: string): ObjectList {
  const objects = [...xml.matchAll(/<Contents>(.*?)<\/Contents>/gs)].map(([, entry = ""]) => ({
    key: textOf(entry, "Key") ?? "",
    bytes: Number(textOf(entry, "Size") ?? 0),
  }));
  return { objects, next: textOf(xml, "IsTruncated") === "true" ? textOf(xml, "NextContinuationToken") : undefined };
}

/** Of ListMultipartUploads: those that were begun and not ended. */
export function parseUploads(xml: string): readonly { readonly key: string; readonly id: string }[] {
  return [...xml.matchAll(/<Upload>(.*?)<\/Upload>/gs)].map(([, entry = ""]) => ({
    key: textOf(entry, "Key") ?? "",
    id: textOf(entry, "UploadId") ?? "",
  }));
}

export function textOf(xml: string, tag: string): string | undefined {
  const text = new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(xml)?.[1];
  return text === undefined || text === "" ? undefined : unescaped(text);
}

export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

function unescaped(text: string): string {
  const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return text.replaceAll(/&(?:#(\d+)|(\w+));/g, (whole, code?: string, name = "") =>
    code === undefined ? (entities[name] ?? whole) : String.fromCodePoint(Number(code)),
  );
}
