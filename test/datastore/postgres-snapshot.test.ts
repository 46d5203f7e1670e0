import { execFile } from "node:child_process";
import { mkdir, readFile, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bytes, defaults, etcdCalls } from "./support/etcd-calls.ts";
import { openConnection } from "./support/grpc-client.ts";
import { databaseArgs, type Postgres, startPostgres } from "./support/postgres.ts";
import { etcdPrograms, startEngine, temporaryFolder } from "./support/servers.ts";

const run = promisify(execFile);
const sumBytes = 32;

let postgres: Postgres;
let etcdctl: string;
beforeAll(async () => {
  ({ etcdctl } = await etcdPrograms());
  postgres = await startPostgres();
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

async function hashOf(endpoint: string): Promise<unknown> {
  const { stdout } = await run(etcdctl, ["--endpoints", endpoint, "endpoint", "hashkv", "-w", "json"]);
  const [{ HashKV: all }] = JSON.parse(stdout) as [{ HashKV: Record<string, unknown> }];
  return { hash: all.hash, compacted: all.compact_revision, revision: all.hash_revision };
}

test("a snapshot of PostgreSQL is a file of the embedded store: same content, same history, same hash", async () => {
  await using folder = await temporaryFolder();
  const args = await databaseArgs(folder.path, await postgres.database());
  await using server = await startEngine({ dataDir: join(folder.path, "scratch"), args });
  const connection = openConnection(server.endpoint);
  const calls = etcdCalls(connection);
  // A lease id beyond what a number holds.
  const lease = 2n ** 62n + 1n;
  await calls.grant({ id: lease, ttl: 600 });
  const write = (at: number) => {
    const key = bytes(`k${at % 300}`);
    if (at % 7 === 0) return calls.remove({ ...defaults.remove, key });
    return calls.put({ ...defaults.put, key, value: bytes(`v${at}\0\xff`), lease: at % 5 === 0 ? lease : 0n });
  };
  for (let from = 0; from < 2_500; from += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, index) => write(from + index)));
  }
  const { header } = await calls.compact({ revision: 700, physical: true });
  expect(header?.revision).toBeGreaterThan(2_000);
  await calls.defragment({});

  const dataDir = join(folder.path, "copy");
  await mkdir(dataDir);
  const file = join(dataDir, "datastore.db");
  await run(etcdctl, ["--endpoints", server.endpoint, "snapshot", "save", file]);
  await truncate(file, (await stat(file)).size - sumBytes);
  expect((await readFile(file)).subarray(0, 6).toString()).toBe("SQLite");
  await using copy = await startEngine({ dataDir });
  const other = openConnection(copy.endpoint);
  const copied = etcdCalls(other);

  expect(await hashOf(copy.endpoint)).toEqual(await hashOf(server.endpoint));
  const everything = { ...defaults.range, key: bytes("\0"), rangeEnd: bytes("\0") };
  for (const revision of [0, 700, 1_500]) {
    const [theirs, ours] = await Promise.all([calls, copied].map((each) => each.range({ ...everything, revision })));
    expect(ours).toEqual(theirs);
  }
  expect((await copied.life({ id: lease, keys: true })).keys).toEqual(
    (await calls.life({ id: lease, keys: true })).keys,
  );
  await expect(copied.range({ ...everything, revision: 699 })).rejects.toThrow("compacted");
  const { header: after } = await copied.put({ ...defaults.put, key: bytes("new") });
  expect(after?.revision).toBe((header?.revision ?? 0) + 1);
  connection.close();
  other.close();
});
