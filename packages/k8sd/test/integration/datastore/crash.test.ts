import { join } from "node:path";
import { expect, test } from "vitest";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import { startEngine, temporaryFolder } from "./support/engine-process.ts";
import { always } from "./support/writes.ts";

const writers = 16;
const rounds = 3;

test("every acknowledged write survives kill -9, and revisions never go back", async () => {
  await using folder = await temporaryFolder();
  const args = ["--data-dir", join(folder.path, "data"), "--listen-client-urls", "http://127.0.0.1:0"];
  const acknowledged = new Map<string, { value: number; revision: number }>();
  let newest = 0;
  let total = 0;

  for (let round = 0; round < rounds; round++) {
    await using engine = await startEngine(args);
    await using store = createEtcdClient({ endpoints: [engine.endpoint], timeoutMs: 5_000 });

    const found = new Map(
      (await store.range({ prefix: "crash/" })).kvs.map((kv) => [Buffer.from(kv.key).toString(), kv]),
    );
    for (const [key, { value, revision }] of acknowledged) {
      const kv = found.get(key);
      // A later write may have become durable without its answer having been seen.
      expect(Number(Buffer.from(kv?.value ?? []).toString())).toBeGreaterThanOrEqual(value);
      expect(kv?.modRevision).toBeGreaterThanOrEqual(revision);
    }
    expect((await store.status()).revision).toBeGreaterThanOrEqual(newest);

    const killed = new AbortController();
    const before = total;
    const write = async (writer: number) => {
      const key = `crash/${writer}`;
      for (let value = acknowledged.get(key)?.value ?? 0; !killed.signal.aborted; ) {
        value++;
        const answer = await store
          .txn(always({ op: "put", key, value: String(value) }), { signal: killed.signal })
          .catch(() => undefined);
        if (!answer) return;
        expect(answer.revision).toBeGreaterThan(acknowledged.get(key)?.revision ?? newest);
        acknowledged.set(key, { value, revision: answer.revision });
        total++;
      }
    };
    const done = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
    await expect.poll(() => total - before, { timeout: 20_000, interval: 5 }).toBeGreaterThan(500);
    expect(await engine.kill("SIGKILL")).toMatchObject({ signal: "SIGKILL" });
    killed.abort();
    await done;
    newest = Math.max(...[...acknowledged.values()].map(({ revision }) => revision));
  }
});
