import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { createPostgresNodes, type PostgresNodes } from "../postgres/nodes.ts";
import { epochOf } from "../recover/three.ts";
import { put, read } from "./keys.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const keyFile = "/root/snapshots.key";
const their = "http://127.0.0.1:12379";
const theirEtcdctl = ["/snap/k8s/current/bin/etcdctl", "--endpoints", their];

async function save(host: Host): Promise<string> {
  expect(await k8s(host, ["snapshot", "key", "--out", keyFile])).toMatchObject({ exitCode: 0 });
  const saved = await k8s(host, ["snapshot", "save", "--output-format", "json"]);
  expect(saved.exitCode, saved.stderr).toBe(0);
  return (JSON.parse(saved.stdout) as { path: string }).path;
}

describe.skipIf(reason !== undefined)("a cluster whose datastore somebody else runs", () => {
  let nodes: PostgresNodes;
  let onPostgres: Host;
  let onEtcd: Host;
  let fresh: Host;

  beforeAll(async () => {
    nodes = await createPostgresNodes(3, ["--agent-only"]);
    [onPostgres, onEtcd, fresh] = nodes.hosts as [Host, Host, Host];
  });
  afterAll(() => nodes?.[Symbol.asyncDispose]());

  async function restore(from: Host, path: string, engine: readonly string[]): Promise<string> {
    await copyFile(join(from.root, path), join(fresh.root, "root/snapshot"));
    await copyFile(join(from.root, keyFile), join(fresh.root, keyFile));
    const restored = await k8s(fresh, [
      "snapshot",
      "restore",
      "/root/snapshot",
      "--key-file",
      keyFile,
      "--yes",
      ...engine,
    ]);
    expect(restored.exitCode, restored.stderr).toBe(0);
    await becomesReady(fresh);
    const { stdout } = await k8s(fresh, ["datastore", "status", "--output-format", "json"]);
    return (JSON.parse(stdout) as { engine: string }).engine;
  }

  async function expectNotInPlace(host: Host, path: string): Promise<void> {
    const refused = await k8s(host, ["snapshot", "restore", path, "--key-file", keyFile, "--yes"]);
    expect([refused.exitCode, refused.stderr]).toEqual([
      1,
      expect.stringContaining("restore the external datastore by its own means"),
    ]);
  }

  test("on PostgreSQL is saved, and restored into sqlite on a fresh machine", async () => {
    await bootstrap(onPostgres, await nodes.config());
    await put(onPostgres, "kept", "of postgres");
    const path = await save(onPostgres);
    await expectNotInPlace(onPostgres, path);
    await onPostgres.cutPower();
    expect(await restore(onPostgres, path, [])).toBe("sqlite");
    expect(await read(fresh, "kept")).toBe("of postgres");
  });

  test("on an etcd is saved, and restored into etcd on a fresh machine", async () => {
    expect(await k8s(fresh, ["leave", "--force"])).toMatchObject({ exitCode: 0 });
    const etcd = "/snap/k8s/current/bin/etcd --data-dir /root/theirs --log-level error";
    const urls = `--listen-client-urls ${their} --advertise-client-urls ${their}`;
    const peers = "--listen-peer-urls http://127.0.0.1:12380 --initial-advertise-peer-urls http://127.0.0.1:12380";
    const start = `${etcd} ${urls} ${peers} --initial-cluster default=http://127.0.0.1:12380`;
    await onEtcd.run("systemd-run", "--unit=their-etcd", "--property=Type=notify", ...start.split(" "));
    await bootstrap(onEtcd, `datastore-type: external\ndatastore-servers: ["${their}"]\n`);
    await onEtcd.run(...theirEtcdctl, "put", "/registry/test/kept", "of etcd");
    const path = await save(onEtcd);
    await expectNotInPlace(onEtcd, path);
    await onEtcd.cutPower();
    expect(await restore(onEtcd, path, ["--engine", "etcd"])).toBe("etcd");
    expect(await read(fresh, "kept")).toBe("of etcd");
  });

  test("gets it back: what was restored moves on to a database", async () => {
    const before = await epochOf(fresh);
    const to = ["datastore", "migrate", "--to", "external", "--file", "-"];
    const moved = await k8s(fresh, to, { stdin: (await nodes.config()).replace("datastore-type: external\n", "") });
    expect(moved.exitCode, moved.stderr).toBe(0);
    await becomesReady(fresh);
    expect([await read(fresh, "kept"), await epochOf(fresh)]).toEqual(["of etcd", before]);
    const { stdout } = await k8s(fresh, ["datastore", "status", "--output-format", "json"]);
    expect((JSON.parse(stdout) as { engine: string }).engine).not.toBe("etcd");
  });
});
