import type { Database } from "better-sqlite3";

/** One change of a key; lease is exact only up to 2^53. */
export type Row = [
  id: number,
  key: Uint8Array,
  revision: number,
  created: number,
  version: number,
  lease: number | bigint,
  value: Uint8Array | null,
];

/** Rows as SQLite strung them together; leases as in a row. */
export interface PackedRows {
  readonly keys: Buffer;
  readonly values: Buffer;
  readonly ids: readonly number[];
  readonly keyLengths: readonly number[];
  readonly valueLengths: readonly number[];
  readonly revisions: readonly number[];
  readonly created: readonly number[];
  readonly versions: readonly number[];
  readonly leases: (number | bigint)[];
}

/** Gives the rows whose keys are at or after `start`, in key order. */
export type PackedList = (start: Uint8Array, rest: Readonly<Record<string, unknown>>, limit: number) => PackedRows[];

const firstPageRows = 16;
const mostPageRows = 200;
/** SQLite holds a page two or three times while it makes it. */
const pageBytes = 128 * 1024;

type Page = [numbers: string, keys: Buffer | null, values: Buffer | null];
type Numbers = [
  ids: number[],
  keys: number[],
  values: number[],
  revisions: number[],
  created: number[],
  versions: number[],
  leases: number[],
];

/**
 * A Buffer for each key and value takes most of the time of a long list. So SQLite strings them together, and a page of rows is
 * two Buffers. Blobs keep their bytes when they are read as text: the text is never looked at.
 * @param select the columns of a row, with the parameters :key and :limit
 */
export function createPackedList(db: Database, select: string): PackedList {
  const page = db
    .prepare(
      `SELECT json_array(json_group_array(id), json_group_array(length(key)), json_group_array(length(value)),
         json_group_array(revision), json_group_array(create_revision), json_group_array(version), json_group_array(lease)),
         CAST(group_concat(key, '') AS BLOB), CAST(group_concat(value, '') AS BLOB) FROM (${select})`,
    )
    .raw();

  return (start, rest, limit) => {
    const pages: PackedRows[] = [];
    let total = 0;
    let perPage = firstPageRows;
    for (let key = start; ; ) {
      const wanted = limit < 0 ? perPage : Math.min(perPage, limit - total);
      const [numbers, keys, values] = page.get({ ...rest, key, limit: wanted }) as Page;
      if (!keys || !values) return pages;
      const rows = unpack(numbers, keys, values);
      pages.push(rows);
      const found = rows.ids.length;
      total += found;
      if (found < wanted || total === limit) return pages;
      key = after(rows);
      // As many as fit, going by the last ones.
      const fit = Math.floor((found * pageBytes) / (keys.length + values.length));
      perPage = Math.max(1, Math.min(mostPageRows, fit));
    }
  };
}

function unpack(text: string, keys: Buffer, values: Buffer): PackedRows {
  const [ids, keyLengths, valueLengths, revisions, created, versions, leases] = JSON.parse(text) as Numbers;
  return { keys, values, ids, keyLengths, valueLengths, revisions, created, versions, leases };
}

/** The first key after those that were read. */
function after({ keys, keyLengths }: PackedRows): Uint8Array {
  return Buffer.concat([keys.subarray(keys.length - (keyLengths.at(-1) ?? 0)), Buffer.of(0)]);
}

export function rowsOf(pages: readonly PackedRows[]): Row[] {
  const rows: Row[] = [];
  for (const page of pages) {
    let keyAt = 0;
    let valueAt = 0;
    for (const [index, id] of page.ids.entries()) {
      const keyEnd = keyAt + (page.keyLengths[index] ?? 0);
      const valueEnd = valueAt + (page.valueLengths[index] ?? 0);
      rows.push([
        id,
        page.keys.subarray(keyAt, keyEnd),
        page.revisions[index] ?? 0,
        page.created[index] ?? 0,
        page.versions[index] ?? 0,
        page.leases[index] ?? 0,
        page.values.subarray(valueAt, valueEnd),
      ]);
      keyAt = keyEnd;
      valueAt = valueEnd;
    }
  }
  return rows;
}
