import { join } from "node:path";
import { type RestoreOptions, restoreEtcd } from "@k8sd/k8sd/datastore/etcd-restore.ts";
import { openStore } from "@k8sd/k8sd/datastore/migrate/store-access.ts";
import { createRun } from "@k8sd/k8sd/host/run.ts";
import { beforeAll, describe, expect, test } from "vitest";
import { ensureComponents } from "../kubernetes/ensure-components.ts";
import { freePort, startEtcd, temporaryFolder } from "./support/servers.ts";

/** etcd 3.6 moved it to a program of its own: of both versions all programs are shipped that it needs. */
describe.each([
  ["that nodes have", ""],
  ["3.6", "etcd-3.6"],
])("the data of an etcd %s", (_, folder) => {
  let bin: string;
  beforeAll(async () => {
    const components = await ensureComponents({ also: ["etcd-3.6"], report: (line) => console.error(line) });
    bin = join(components.bin, folder);
  });

  test("are made another member's, at a later revision below which all is compacted", {
    timeout: 120_000,
  }, async () => {
    await using place = await temporaryFolder();
    const before = join(place.path, "before");
    const put = (key: string) => ({ op: "put", key, value: "v" }) as const;
    let revision = 0;
    {
      await using etcd = await startEtcd(join(bin, "etcd"), before);
      await using store = openStore({ endpoints: [etcd.endpoint] });
      await store.data.txn({ success: [put("/a")] });
      ({ revision } = await store.data.txn({ success: [put("/b")] }));
      await etcd.kill("SIGTERM");
    }
    const ports = { client: await freePort(), peer: await freePort() };
    const programs: string[] = [];
    const run = createRun({ PATH: process.env.PATH ?? "" });
    const options: RestoreOptions = {
      bin,
      from: join(before, "member", "snap", "db"),
      to: join(place.path, "after"),
      name: "default",
      peerUrl: `http://127.0.0.1:${ports.peer}`,
      clusterToken: "another",
      signal: AbortSignal.timeout(60_000),
    };
    await restoreEtcd((argv, each) => {
      programs.push(argv[0] ?? "");
      return run(argv, each);
    }, options);
    expect(programs).toEqual([join(bin, "etcdutl")]);

    await using etcd = await startEtcd(join(bin, "etcd"), options.to, ports);
    await using store = openStore({ endpoints: [etcd.endpoint] });
    const found = await store.data.range({ prefix: "/" });
    expect(found.kvs.map(({ key }) => Buffer.from(key).toString())).toEqual(["/a", "/b"]);
    expect(found.revision).toBeGreaterThanOrEqual(revision + 1_000_000_000);
    await expect(store.data.range({ prefix: "/" }, { revision })).rejects.toThrow("compacted");
  });
});
