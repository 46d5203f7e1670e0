import { databaseProblems, dropDatabase, newDatabaseProblems } from "@k8sd/k8sd/datastore/check-postgres.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytes, defaults, etcdCalls } from "./support/etcd-calls.ts";
import { openConnection } from "./support/grpc-client.ts";
import { databaseArgs, limitedUser, type Postgres, startPostgres } from "./support/postgres.ts";
import { startEngine, temporaryFolder } from "./support/servers.ts";

let postgres: Postgres;
let url: string;
beforeAll(async () => {
  postgres = await startPostgres();
  url = await postgres.database();
  await postgres.run(url, `CREATE ROLE ${limitedUser} LOGIN PASSWORD 'right-word'`);
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

const check = (database: string) => databaseProblems(database, AbortSignal.timeout(20_000));
const as = (password: string) => url.replace("k8s@", `${limitedUser}:${password}@`);

describe("a database that cannot hold the cluster", () => {
  test("an empty one can, and nothing is left in it", async () => {
    expect(await check(url)).toEqual([]);
    expect(await postgres.run(url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'k8s%'")).toEqual([]);
  });

  const refused: readonly [string, () => string, RegExp, RegExp][] = [
    [
      "nobody serves",
      () => "postgres://k8s:hidden-word@127.0.0.1:1/x",
      /cannot reach PostgreSQL: .*ECONNREFUSED/,
      /runs/,
    ],
    ["does not exist", () => url.replace(/test_\w+/, "nothing"), /"nothing" does not exist/, /CREATE DATABASE/],
    ["wants another password", () => as("hidden-word"), /does not let this user in/, /user and password/],
    ["gives no right to make a schema", () => as("right-word"), /limited may not make a schema/, /GRANT CREATE ON/],
  ];
  test.each(refused)("it %s", async (_what, database, message, remedy) => {
    const problems = await check(database());
    expect(problems).toEqual([
      { message: expect.stringMatching(message) as string, remedy: expect.stringMatching(remedy) as string },
    ]);
    expect(JSON.stringify(problems)).not.toMatch(/hidden-word|right-word/);
  });

  test("the server itself says so too, and ends; its output holds no password", async () => {
    await using folder = await temporaryFolder();
    const args = await databaseArgs(folder.path, as("right-word"));
    const started = startEngine({ dataDir: folder.path, args });
    await expect(started).rejects.toThrow(/permission denied for database .*GRANT CREATE/s);
    await expect(started).rejects.not.toThrow("right-word");
  });

  test("one with the tables of a server is not new; dropped, it is, and nothing else of it is gone", async () => {
    await using folder = await temporaryFolder();
    const own = await postgres.database();
    await postgres.run(own, "CREATE TABLE theirs (a int)");
    await using server = await startEngine({ dataDir: folder.path, args: await databaseArgs(folder.path, own) });
    await server.kill("SIGTERM");
    const signal = AbortSignal.timeout(20_000);
    expect(await databaseProblems(own, signal)).toEqual([]);
    expect(await newDatabaseProblems(own, signal)).toMatchObject([
      {
        message: expect.stringContaining("has a schema k8s_datastore already"),
        remedy: expect.stringContaining("DROP"),
      },
    ]);
    await dropDatabase(own, signal);
    expect(await newDatabaseProblems(own, signal)).toEqual([]);
    expect(await postgres.run(own, "SELECT tablename FROM pg_tables WHERE tablename = 'theirs'")).toHaveLength(1);
  });

  test("a server ends itself when the database went back behind what it told its watches", async () => {
    await using folder = await temporaryFolder();
    const own = await postgres.database();
    await using server = await startEngine({ dataDir: folder.path, args: await databaseArgs(folder.path, own) });
    const connection = openConnection(server.endpoint);
    for (let at = 0; at < 3; at++) await etcdCalls(connection).put({ ...defaults.put, key: bytes("a") });
    connection.close();
    await postgres.run(own, "UPDATE k8s_datastore.state SET revision = revision - 1");
    await expect
      .poll(() => server.output(), { timeout: 20_000 })
      .toContain("cannot go on with this database: it went back from revision 4 to 3");
  });

  test("a server that was used stops at once when it is told to", async () => {
    await using folder = await temporaryFolder();
    const args = await databaseArgs(folder.path, await postgres.database());
    await using server = await startEngine({ dataDir: folder.path, args });
    const connection = openConnection(server.endpoint);
    await etcdCalls(connection).put({ ...defaults.put, key: bytes("a") });
    await etcdCalls(connection).range({ ...defaults.range, key: bytes("a") });
    connection.close();
    // A server that hangs is killed by whoever manages it, half a minute later.
    const slow = new Promise((resolve) => setTimeout(resolve, 15_000, "hangs"));
    expect(await Promise.race([server.kill("SIGTERM"), slow])).toBeUndefined();
  });

  test("it holds a cluster", async () => {
    await using folder = await temporaryFolder();
    await using server = await startEngine({ dataDir: folder.path, args: await databaseArgs(folder.path, url) });
    const connection = openConnection(server.endpoint);
    await etcdCalls(connection).put({ ...defaults.put, key: bytes("/registry/a") });
    connection.close();
    expect((await check(url))[0]?.message).toContain("is not empty: its schema k8s_datastore holds 1 keys");
  });
});
