import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../datastore/support/servers.ts";
import { engineNames, openEngine } from "./engines.ts";
import { startKubeApiserver } from "./kube-apiserver.ts";
import { runLoad } from "./load.ts";

const objects = Number(process.env.K8SD_OBJECTS ?? 5_000);
const watchers = Number(process.env.K8SD_WATCHERS ?? 100);
const seed = Number(process.env.K8SD_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** The load before and after each fault. */
const betweenFaultsMs = 8_000;
/** kube-apiserver's connection to a server that was away backs off, up to two minutes. */
const recoversMs = 180_000;
const writesAfterFault = 20;
const testMs = 30 * 60_000;

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
          const before = writes();
          await expect
            .poll(writes, { timeout: recoversMs, message: "writes go on" })
            .toBeGreaterThan(before + writesAfterFault);
        }
        await delay(betweenFaultsMs);
      },
    });
    console.log(`${name}, seed ${seed}: ${JSON.stringify(figures)}`);
    expect(faults, `seed ${seed}`).toEqual([]);
    expect(figures.events).toBeGreaterThan(watchers * writesAfterFault);
  });
});
