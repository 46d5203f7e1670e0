import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { bytes, defaults, type EtcdCalls } from "../../datastore/support/etcd-calls.ts";
import { temporaryFolder } from "../../datastore/support/servers.ts";
import { engineNames, openEngine } from "./engines.ts";
import { startKubeApiserver } from "./kube-apiserver.ts";
import { runLoad, storedEnd, storedPrefix } from "./load.ts";

const objects = Number(process.env.K8SD_OBJECTS ?? 5_000);
const watchers = Number(process.env.K8SD_WATCHERS ?? 100);
const seed = Number(process.env.K8SD_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** The load before and after each fault. */
const betweenFaultsMs = 8_000;
/** kube-apiserver's connection to a server that was away backs off, up to two minutes. */
const recoversMs = 180_000;
const writesAfterFault = 20;
const testMs = 30 * 60_000;
/** Objects that are stored anew, as they are, while nobody watches. */
const touched = 50;

/** Changes that kube-apiserver did not see, and a compaction beyond them: it cannot go on where it was. */
async function changeAndCompact(calls: EtcdCalls): Promise<void> {
  const range = { ...defaults.range, key: bytes(storedPrefix), rangeEnd: storedEnd, limit: touched };
  const { kvs } = await calls.range(range);
  let revision = 0;
  for (const { key, value } of kvs) {
    revision = (await calls.put({ ...defaults.put, key, value })).header?.revision ?? 0;
  }
  await calls.compact({ revision, physical: true });
}

async function goesOn(writes: () => number): Promise<void> {
  const before = writes();
  const message = "writes go on";
  await expect.poll(writes, { timeout: recoversMs, message }).toBeGreaterThan(before + writesAfterFault);
}

describe("kube-apiserver under load while its datastore is killed and started again", () => {
  test.for(engineNames)(`no event is lost and no acknowledged write, on %s`, { timeout: testMs }, async (name) => {
    await using folder = await temporaryFolder();
    await using engine = await openEngine(name, folder.path);
    await using server = await startKubeApiserver({ etcdServers: engine.endpoint, folder: folder.path });
    const { faults, figures } = await runLoad(server.api, engine, {
      objects,
      watchers,
      seed,
      pauseMs: 20,
      async during({ writes }) {
        for (const fault of engine.faults) {
          await delay(betweenFaultsMs);
          await fault();
          await goesOn(writes);
        }
        await delay(betweenFaultsMs);
      },
    });
    console.log(`${name}, seed ${seed}: ${JSON.stringify(figures)}`);
    expect(faults, `seed ${seed}`).toEqual([]);
    expect(figures.events).toBeGreaterThan(watchers * writesAfterFault);
  });

  test.for(engineNames)(
    "who missed what was compacted lists anew and knows all, on %s",
    {
      timeout: testMs,
    },
    async (name) => {
      await using folder = await temporaryFolder();
      await using engine = await openEngine(name, folder.path);
      await using server = await startKubeApiserver({ etcdServers: engine.endpoint, folder: folder.path });
      const { faults, figures } = await runLoad(server.api, engine, {
        objects: objects / 10,
        watchers: watchers / 5,
        seed,
        pauseMs: 20,
        async during({ writes }) {
          await delay(betweenFaultsMs);
          await engine.away(changeAndCompact);
          await goesOn(writes);
        },
      });
      console.log(`${name}, seed ${seed}: ${JSON.stringify(figures)}`);
      expect(faults, `seed ${seed}`).toEqual([]);
      expect(figures.relists).toBeGreaterThanOrEqual(figures.watchers);
    },
  );
});
