import { AppError } from "../../lib/app-error.ts";
import { readSnapshotFile, type Unlock } from "./file.ts";
import type { SnapshotHeader } from "./header.ts";
import type { SnapshotTotals } from "./records.ts";

export interface SnapshotContent {
  readonly header: SnapshotHeader;
  readonly totals: SnapshotTotals;
  /** JSON. */
  readonly secrets: string;
  /** Values of the keys with the wanted prefix, as text. */
  readonly values: ReadonlyMap<string, string>;
}

/** Reads all of a snapshot without keeping more than what is asked for: it is whole, unchanged and opens with the key. */
export async function inspectSnapshot(
  path: string,
  unlock: Unlock,
  { prefix, signal }: { readonly prefix: string; readonly signal: AbortSignal },
): Promise<SnapshotContent> {
  return readSnapshotFile(
    path,
    unlock,
    async (records, header) => {
      const wanted = Buffer.from(prefix, "utf8");
      const values = new Map<string, string>();
      let secrets: string | undefined;
      let totals: SnapshotTotals | undefined;
      let keys = 0;
      for await (const record of records) {
        if (record.kind === "secrets") secrets = record.json;
        if (record.kind === "end") totals = { keys: record.keys, leases: record.leases, hash: record.hash };
        if (record.kind !== "key") continue;
        keys += 1;
        const { key, value } = record.kv;
        const found = wanted.equals(key.subarray(0, wanted.length));
        if (found) values.set(Buffer.from(key).toString("utf8"), Buffer.from(value).toString("utf8"));
      }
      if (secrets === undefined || totals === undefined || totals.keys !== keys) {
        throw new AppError("internal", "cannot use the snapshot: it is not complete", {
          remedy: "Use another snapshot.",
        });
      }
      return { header, totals, secrets, values };
    },
    signal,
  );
}
