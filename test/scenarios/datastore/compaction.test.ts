import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { defaults, etcdCalls } from "../../datastore/support/etcd-calls.ts";
import { openConnection } from "../../datastore/support/grpc-client.ts";
import { temporaryFolder } from "../../datastore/support/servers.ts";
import { type EngineName, openEngine } from "./engines.ts";
import type { KubeApi } from "./kube-api.ts";
import { startKubeApiserver } from "./kube-apiserver.ts";
import { runLoad } from "./load.ts";

/** Of load; a hundred compactions are what kube-apiserver makes in eight hours. */
const minutes = Number(process.env.K8SD_MINUTES ?? 3);
const seed = Number(process.env.K8SD_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** kube-apiserver's own default is five minutes. */
const compactionSeconds = 5;
/** One beyond the collector's noise would be a leak. */
const flat = 1.25;
const oldKey = Buffer.from("/registry/");
const waitsMs = 60_000;

describe("kube-apiserver that compacts its datastore again and again", () => {
  const engines: readonly EngineName[] = ["sqlite", "PostgreSQL"];
  test.for(engines)(
    "reads consistently from its cache, on %s; memory and file stay as they are",
    {
      timeout: (minutes + 10) * 60_000,
    },
    async (name) => {
      await using folder = await temporaryFolder();
      await using engine = await openEngine(name, folder.path);
      const connection = openConnection(engine.endpoint);
      const calls = etcdCalls(connection);
      const args = [`--etcd-compaction-interval=${compactionSeconds}s`];
      await using server = await startKubeApiserver({ etcdServers: engine.endpoint, folder: folder.path, args });
      const size = async () => (await calls.status({})).dbSize;
      const sizes: number[] = [];
      const lists: number[] = [];
      const { faults, figures } = await runLoad(server.api, engine, {
        objects: 400,
        watchers: 20,
        seed,
        pauseMs: 20,
        async during() {
          for (const end = performance.now() + minutes * 60_000; performance.now() < end; await delay(250)) {
            // Nothing changes there: only progress tells the cache that it is new enough.
            const begun = performance.now();
            const { status } = await server.api.call("GET", "/api/v1/secrets");
            lists.push(performance.now() - begun);
            expect(status).toBe(200);
            sizes.push(await size());
          }
        },
      });
      const reads = await consistentReads(server.api);
      lists.sort((a, b) => a - b);
      const [fileEarly = 0, fileLate = 0] = [sizes[Math.floor(sizes.length / 3)], sizes.at(-1)];
      const more = { p50: lists[lists.length >> 1], p99: lists[Math.floor(lists.length * 0.99)], ...reads };
      console.log(`${name}, seed ${seed}: ${JSON.stringify({ ...figures, ...more, fileEarly, fileLate })}`);

      expect(faults, `seed ${seed}`).toEqual([]);
      const old = () => calls.range({ ...defaults.range, key: oldKey, revision: 100 });
      await expect.poll(() => old().catch(String), { timeout: waitsMs }).toContain("has been compacted");
      expect(reads.fromCache).toBeGreaterThan(lists.length / 2);
      expect(reads.fallbacks).toBeLessThan(reads.fromCache / 20);
      expect(figures.residentLate).toBeLessThan(figures.residentEarly * flat);
      expect(fileLate).toBeLessThan(fileEarly * flat);
      connection.close();
    },
  );
});

/** Lists that kube-apiserver answered from its cache after it made sure that the cache was new enough; and those it had to ask for. */
async function consistentReads(api: KubeApi): Promise<{ readonly fromCache: number; readonly fallbacks: number }> {
  let [fromCache, fallbacks] = [0, 0];
  for await (const line of api.lines("/metrics", "text/plain", AbortSignal.timeout(waitsMs))) {
    const [, labels = "", count] = /^apiserver_watch_cache_consistent_read_total\{(.*)\} (\S+)$/.exec(line) ?? [];
    if (labels.includes('fallback="true"')) fallbacks += Number(count);
    else if (labels.includes('success="true"')) fromCache += Number(count);
  }
  return { fromCache, fallbacks };
}
