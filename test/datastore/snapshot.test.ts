import { stat } from "node:fs/promises";
import { join } from "node:path";
import { openStore } from "@k8sd/k8sd/datastore/migrate/store-access.ts";
import { contentHash, withView } from "@k8sd/k8sd/datastore/snapshot/content.ts";
import { writeSnapshotFile } from "@k8sd/k8sd/datastore/snapshot/file.ts";
import { createSnapshotKey, keysFor, keysForNew } from "@k8sd/k8sd/datastore/snapshot/key.ts";
import { loadSnapshot } from "@k8sd/k8sd/datastore/snapshot/load.ts";
import { describe, expect, test } from "vitest";
import { etcdPrograms, type Server, startEngine, startEtcd, temporaryFolder } from "./support/servers.ts";

const keys = 10_000;
type Kind = "etcd" | "ours";

async function startServer(kind: Kind, dataDir: string): Promise<Server> {
  return kind === "ours" ? await startEngine({ dataDir }) : await startEtcd((await etcdPrograms()).etcd, dataDir);
}

describe("a snapshot", () => {
  const directions: readonly { from: Kind; to: Kind }[] = [
    { from: "ours", to: "etcd" },
    { from: "etcd", to: "ours" },
    { from: "etcd", to: "etcd" },
  ];

  test.each(directions)("of $from is loaded into $to", { timeout: 120_000 }, async ({ from, to }) => {
    const signal = AbortSignal.timeout(120_000);
    await using folder = await temporaryFolder();
    await using sourceServer = await startServer(from, join(folder.path, "source"));
    await using targetServer = await startServer(to, join(folder.path, "target"));
    await using source = openStore({ endpoints: [sourceServer.endpoint] });
    await using target = openStore({ endpoints: [targetServer.endpoint] });
    for (let at = 0; at < keys; at += 100) {
      const success = Array.from({ length: 100 }, (_, index) => {
        const key = `/registry/${((at + index) * 7919) % keys}`;
        return { op: "put", key, value: Buffer.alloc(512, key) } as const;
      });
      await source.data.txn({ success });
    }
    await source.grant(71n, 600, { signal });
    await source.data.txn({ success: [{ op: "put", key: "/registry/leased", value: "1", lease: 71n }] });

    const path = join(folder.path, "snapshot");
    const { text, lock } = createSnapshotKey();
    const { keys: fileKeys, hint } = keysForNew(lock);
    const startedAt = performance.now();
    await withView(source, signal, (view) => {
      const header = {
        id: "00000000-0000-4000-8000-000000000000",
        cluster: { id: "c", epoch: 1 },
        node: "n1",
        engine: from === "ours" ? ("sqlite" as const) : ("etcd" as const),
        revision: view.revision,
        keys: view.keys,
        createdAt: 0,
        versions: {},
        key: hint,
      };
      return writeSnapshotFile(path, header, view.records("{}"), fileKeys, signal);
    });
    const savedAt = performance.now();
    const unlock = (header: { readonly key: typeof hint }) => keysFor(header.key, text);
    const report = await loadSnapshot({ path, unlock, target, signal, trial: false });
    const { size } = await stat(path);
    console.info(
      `${from} to ${to}: saved in ${Math.round(savedAt - startedAt)} ms, loaded and compared in ` +
        `${Math.round(performance.now() - savedAt)} ms, ${size} bytes for ${report.keys} keys`,
    );

    expect(report.keys).toBe(keys + 1);
    expect(await contentHash(target, signal)).toBe(await contentHash(source, signal));
    expect(await target.lifeOf(71n, { signal })).toMatchObject({ grantedSeconds: 600 });
  });
});
