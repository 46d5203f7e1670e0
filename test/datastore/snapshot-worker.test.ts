import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runWork, type TryWork, type WorkProgress, type WriteWork } from "@k8sd/k8sd/cluster/snapshot/work.ts";
import { openStore } from "@k8sd/k8sd/datastore/migrate/store-access.ts";
import { inspectSnapshot } from "@k8sd/k8sd/datastore/snapshot/inspect.ts";
import { createSnapshotKey, keysFor } from "@k8sd/k8sd/datastore/snapshot/key.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Server, startEngine, temporaryFolder } from "./support/servers.ts";

const sources = (path: string): readonly string[] => [
  process.execPath,
  "-C",
  "source",
  fileURLToPath(import.meta.resolve(`@k8sd/k8sd/${path}`)),
];
const worker = [...sources("main.ts"), "snapshot-worker"];
const engine = sources("datastore/engine/main.ts");
const { text, lock } = createSnapshotKey();
const never = new AbortController().signal;
const count = 1_000;

/** The same program, which first says who it is. */
const known = (folder: string): readonly string[] => [
  "sh",
  "-c",
  `echo $$ >${join(folder, "pid")}; exec "$@"`,
  "sh",
  ...worker,
];
const pidIn = async (folder: string): Promise<number> => Number(await readFile(join(folder, "pid"), "utf8"));

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

let data: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
beforeAll(async () => {
  data = await temporaryFolder();
  server = await startEngine({ dataDir: data.path });
  await using store = openStore({ endpoints: [server.endpoint] });
  for (let at = 0; at < count; at += 100) {
    const success = Array.from({ length: 100 }, (_, index) => {
      return { op: "put", key: `/registry/${at + index}`, value: Buffer.alloc(2_048, at + index) } as const;
    });
    await store.data.txn({ success });
  }
}, 120_000);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await data?.[Symbol.asyncDispose]();
});

function orderIn(folder: string): WriteWork {
  return {
    kind: "write",
    datastore: { endpoints: [server.endpoint], tls: {} },
    path: join(folder, "snapshot"),
    header: {
      id: randomUUID(),
      cluster: { id: "c", epoch: 1 },
      node: "n1",
      engine: "sqlite",
      createdAt: 1_700_000_000_000,
      versions: {},
    },
    lock,
    secrets: '{"a":1}',
  };
}

const tryOf = (folder: string, keys: TryWork["keys"]): TryWork => ({
  kind: "try",
  path: join(folder, "snapshot"),
  keys,
  argv: engine,
  directory: join(folder, "trial"),
});

describe("a process of its own", () => {
  test("writes a snapshot and tries it, and says how far it is", { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder();
    const write = orderIn(folder.path);
    const said: WorkProgress[] = [];
    const options = { argv: worker, signal: never, progress: (each: WorkProgress) => void said.push(each) };
    const written = await runWork(write, options);
    expect([written.count, said.at(-1)?.done]).toEqual([count, count]);
    const unlock = (header: { readonly key: Parameters<typeof keysFor>[0] }) => keysFor(header.key, text);
    const content = await inspectSnapshot(write.path, unlock, { prefix: "none", signal: never });
    expect([content.totals.keys, content.header.revision, content.secrets]).toEqual([
      count,
      written.revision,
      '{"a":1}',
    ]);

    const tried = await runWork(tryOf(folder.path, written.keys), options);
    expect(tried).toEqual({ keys: count, count, hash: content.totals.hash });
    expect((await readdir(folder.path)).sort()).toEqual(["snapshot"]);
  });

  test("takes of a datastore of others what is the cluster's", { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder();
    await using shared = await startEngine({ dataDir: join(folder.path, "data") });
    await using store = openStore({ endpoints: [shared.endpoint] });
    for (const id of [7n, 8n]) await store.grant(id, 600, { signal: never });
    const put = (key: string, lease = 0n) => ({ op: "put", key, value: key, ...(lease ? { lease } : {}) }) as const;
    const ours = [put("k8sd/cluster"), put("/registry/b"), put("/registry/a", 7n), put("compact_rev_key")];
    await store.data.txn({ success: [...ours, put("theirs/a", 8n), put("k8sd0"), put("a"), put("z")] });
    const prefixes = ["k8sd/", "/registry/", "compact_rev_key"];
    const order = { ...orderIn(folder.path), datastore: { endpoints: [shared.endpoint], tls: {} }, prefixes };
    const { keys } = await runWork(order, { argv: worker, signal: never, progress: () => {} });
    const unlock = (header: { readonly key: Parameters<typeof keysFor>[0] }) => keysFor(header.key, text);
    const { values, totals } = await inspectSnapshot(order.path, unlock, { prefix: "", signal: never });
    expect([[...values.keys()].sort(), totals.leases]).toEqual([
      ["/registry/a", "/registry/b", "compact_rev_key", "k8sd/cluster"],
      1,
    ]);
    const tried = await runWork(tryOf(folder.path, keys), { argv: worker, signal: never, progress: () => {} });
    expect(tried.count).toBe(4);
  });

  test("that is killed says so, with what to look at", { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder();
    const write = orderIn(folder.path);
    const argv = known(folder.path);
    const kill = async (): Promise<void> => void process.kill(await pidIn(folder.path), "SIGKILL");
    const options = { argv, signal: never, progress: () => void kill().catch(() => {}) };
    await expect(runWork(write, options)).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("the process that works on it ended (SIGKILL)"),
      remedy: expect.stringContaining("memory"),
    });
    // The engine of a trial goes with whom it was for.
    const { keys } = await runWork(write, { argv: worker, signal: never, progress: () => {} });
    await expect(runWork(tryOf(folder.path, keys), options)).rejects.toThrow("SIGKILL");
    const trial = async (): Promise<boolean> => {
      const answers = spawn("sh", ["-c", `grep -als -- '${join(folder.path, "trial")}' /proc/[0-9]*/cmdline`]);
      answers.stdout.resume();
      const [code] = (await once(answers, "close")) as [number];
      return code !== 0;
    };
    await expect.poll(trial, { timeout: 30_000, interval: 500 }).toBe(true);
  });

  test("that is given up ends, and leaves no trial", { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder();
    const write = orderIn(folder.path);
    const { keys } = await runWork(write, { argv: worker, signal: never, progress: () => {} });
    const cancel = new AbortController();
    const progress = (): void => cancel.abort(new Error("no more time"));
    const options = { argv: known(folder.path), signal: cancel.signal, progress };
    await expect(runWork(tryOf(folder.path, keys), options)).rejects.toThrow("no more time");
    expect(alive(await pidIn(folder.path))).toBe(false);
    expect((await readdir(folder.path)).sort()).toEqual(["pid", "snapshot"]);
  });

  test("hands on what went wrong, with its remedy", { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder();
    const write = orderIn(folder.path);
    const options = { argv: worker, signal: never, progress: () => {} };
    await expect(runWork({ ...write, lock: "none" }, options)).rejects.toMatchObject({
      kind: "invalid",
      remedy: expect.stringContaining("k8s snapshot key"),
    });
    const missing = { ...options, argv: [join(folder.path, "none")] };
    await expect(runWork(write, missing)).rejects.toThrow("it does not start");
  });

  test("ends when nobody waits for it any more", { timeout: 120_000 }, async () => {
    const [program = "", ...args] = worker;
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    child.stdout.resume();
    child.stdin.end();
    expect(await once(child, "close")).toEqual([1, null]);
  });
});
