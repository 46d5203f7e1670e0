import { join } from "node:path";
import { createEtcdClient } from "@k8sd/k8sd/datastore/client.ts";
import { expect, test } from "vitest";
import { bytes, defaults, etcdCalls, text } from "./support/etcd-calls.ts";
import { openConnection } from "./support/grpc-client.ts";
import { freePort, startEngine, temporaryFolder } from "./support/servers.ts";

test("the client goes on with another endpoint when its own is gone, with calls, watches and leases", async () => {
  await using folder = await temporaryFolder();
  const [one, two] = await Promise.all([freePort(), freePort()]);
  const endpoints = [`http://127.0.0.1:${one}`, `http://127.0.0.1:${two}`];
  const start = (port: number) => startEngine({ dataDir: join(folder.path, "data"), port });
  const first = await start(two);
  await using client = createEtcdClient({ endpoints });

  // Nobody listens at the first endpoint.
  const { revision } = await client.range({ key: "a" });
  expect(revision).toBeGreaterThan(0);
  const signal = AbortSignal.timeout(30_000);
  const lease = await client.lease(6, signal);
  const seen: string[] = [];
  const watching = (async () => {
    for await (const batch of client.watch({ key: "a" }, { from: revision + 1, signal })) {
      if (batch.kind === "events") seen.push(...batch.events.map((e) => (e.type === "put" ? text(e.kv.value) : "-")));
      if (seen.length >= 2) return;
    }
  })();
  const direct = openConnection(endpoints[1] ?? "");
  await etcdCalls(direct).put({ ...defaults.put, key: bytes("a"), value: bytes("1") });
  await expect.poll(() => seen, { timeout: 10_000 }).toEqual(["1"]);
  direct.close();

  // The same store comes back at the first one.
  await first.kill("SIGKILL");
  await using second = await start(one);
  const other = openConnection(second.endpoint);
  await etcdCalls(other).put({ ...defaults.put, key: bytes("a"), value: bytes("2") });
  await watching;
  expect(seen).toEqual(["1", "2"]);
  await expect
    .poll(
      () =>
        client.range({ key: "a" }).then(
          ({ count }) => count,
          () => 0,
        ),
      { timeout: 10_000 },
    )
    .toBe(1);
  await expect
    .poll(async () => (await etcdCalls(other).life({ id: lease.id, keys: false })).ttl, { timeout: 15_000 })
    .toBeGreaterThanOrEqual(5);
  expect(lease.lost.aborted).toBe(false);
  await lease[Symbol.asyncDispose]();
  other.close();
});
