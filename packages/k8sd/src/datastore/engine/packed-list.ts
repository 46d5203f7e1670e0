import type { Database } from "better-sqlite3";

/** One change of a key; lease is exact only up to 2^53. */
export type Row = [
  id: number,
  key: Uint8Array,
  revision: number,
  created: number,
  version: number,
  lease: number,
  value: Uint8Array | null,
];

/** Gives the rows whose keys are at or after `start`, in key order. */
export type PackedList = (start: Uint8Array, rest: Readonly<Record<string, unknown>>, limit: number) => Row[];

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
 * A Buffer for each key and value takes most of the time of a long list. So SQLite strings them together, and rows are slices
 * of two Buffers for each page. Blobs keep their bytes when they are read as text: the text is never looked at.
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
    const rows: Row[] = [];
    let perPage = firstPageRows;
    for (let key = start; ; key = after(rows)) {
      const wanted = limit < 0 ? perPage : Math.min(perPage, limit - rows.length);
      const [numbers, keys, values] = page.get({ ...rest, key, limit: wanted }) as Page;
      if (!keys || !values) return rows;
      const found = unpack(numbers, keys, values, rows);
      if (found < wanted || rows.length === limit) return rows;
      // As many as fit, going by the last ones.
      const fit = Math.floor((found * pageBytes) / (keys.length + values.length));
      perPage = Math.max(1, Math.min(mostPageRows, fit));
    }
  };
}

/** The first key after those that were read. */
const after = (rows: readonly Row[]): Uint8Array => Buffer.concat([rows.at(-1)?.[1] ?? Buffer.of(), Buffer.of(0)]);

function unpack(text: string, keys: Buffer, values: Buffer, into: Row[]): number {
  const [ids, keyLengths, valueLengths, revisions, created, versions, leases] = JSON.parse(text) as Numbers;
  let keyAt = 0;
  let valueAt = 0;
  for (const [index, id] of ids.entries()) {
    const keyEnd = keyAt + (keyLengths[index] ?? 0);
    const valueEnd = valueAt + (valueLengths[index] ?? 0);
    into.push([
      id,
      keys.subarray(keyAt, keyEnd),
      revisions[index] ?? 0,
      created[index] ?? 0,
      versions[index] ?? 0,
      leases[index] ?? 0,
      values.subarray(valueAt, valueEnd),
    ]);
    keyAt = keyEnd;
    valueAt = valueEnd;
  }
  return ids.length;
}
