import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { createRandom } from "./differential/program.ts";
import { type Control, type History, record } from "./history/record.ts";
import { betweenFaultsMs, repeat, repeatMs, rounds } from "./history/repeat.ts";
import { expectSound, faultsOf } from "./history/sound.ts";
import { type EngineOptions, freePort, type Server, startEngine, temporaryFolder } from "./support/servers.ts";
import { mountSmallDisk } from "./support/small-disk.ts";
import { createForgetfulDisk } from "./support/unsynced.ts";

const clients = 16;

interface Engine {
  readonly options: EngineOptions;
  server: Server;
}

/** A history while each round brings one fault. */
async function underFaults(
  engine: Engine,
  seed: number,
  padding: number,
  fault: (control: Control) => Promise<void>,
  faults = rounds,
): Promise<History> {
  return record({
    endpoints: [engine.server.endpoint],
    clients,
    seed,
    padding,
    async during(control) {
      for (let round = 0; round < faults; round++) {
        await delay(betweenFaultsMs);
        await fault(control);
        await delay(betweenFaultsMs);
        control.nextKeys();
      }
    },
  });
}

async function start(options: EngineOptions): Promise<Engine & AsyncDisposable> {
  const fixed = { ...options, port: await freePort() };
  const server = await startEngine(fixed);
  const engine = { options: fixed, server };
  return Object.assign(engine, { [Symbol.asyncDispose]: () => engine.server.kill("SIGKILL") });
}

async function crash(engine: Engine, meanwhile: () => void = () => {}): Promise<void> {
  await engine.server.kill("SIGKILL");
  meanwhile();
  engine.server = await startEngine(engine.options);
}

describe("a concurrent history is linearizable and its watches are reliable", { timeout: repeatMs }, () => {
  test("over kill -9 and restart", () =>
    repeat(async (seed) => {
      await using folder = await temporaryFolder();
      await using engine = await start({ dataDir: join(folder.path, "data") });
      return expectSound(seed, await underFaults(engine, seed, 0, () => crash(engine)));
    }));

  test("over pauses, short ones and one beyond the clients' deadline", () =>
    repeat(async (seed) => {
      await using folder = await temporaryFolder();
      await using engine = await start({ dataDir: join(folder.path, "data") });
      let pauseMs = 2_500;
      const pause = async () => {
        process.kill(engine.server.pid, "SIGSTOP");
        await delay(pauseMs);
        process.kill(engine.server.pid, "SIGCONT");
        pauseMs = 300;
      };
      return expectSound(seed, await underFaults(engine, seed, 0, pause));
    }));

  test("over a full disk that gets room again, and a kill while it is full", (context) =>
    repeat(async (seed) => {
      await using folder = await temporaryFolder();
      const dataDir = join(folder.path, "disk");
      mkdirSync(dataDir);
      await using disk = await mountSmallDisk(dataDir, 128 * (1 + rounds));
      if (!disk) return void context.skip("needs CAP_SYS_ADMIN to mount a small disk");
      await using engine = await start({ dataDir: join(dataDir, "data"), within: disk.within });
      let kill = false;
      const full = async ({ refused }: Control) => {
        const before = refused();
        disk.fill();
        await expect
          .poll(refused, { timeout: 20_000, message: "writes are refused" })
          .toBeGreaterThan(before + clients);
        // It starts on the full disk too.
        if (kill) await crash(engine);
        disk.free();
        kill = !kill;
      };
      // Values so large that the log soon has to grow.
      return expectSound(seed, await underFaults(engine, seed, 24_000, full, rounds * 2));
    }));

  test("over crashes that lose what no fsync covered", (context) =>
    repeat(async (seed) => {
      await using folder = await temporaryFolder();
      const dataDir = join(folder.path, "data");
      const disk = createForgetfulDisk(folder.path, dataDir, false);
      if (!disk) return context.skip("needs gcc for the layer that forgets writes");
      await using engine = await start({ dataDir, env: disk.env });
      const random = createRandom(seed);
      let undurable = 0;
      let takenBack = 0;
      const powerOff = () =>
        crash(engine, () => {
          // Nothing of it, or any part: a disk writes in the order it likes.
          const keepSome = random(2) === 0;
          const found = disk.forget(() => keepSome && random(2) === 0);
          undurable += found.undurable;
          takenBack += found.takenBack;
        });
      // Twice as many: a crash between a write and its fsync takes luck.
      const pace = expectSound(seed, await underFaults(engine, seed, 500, powerOff, rounds * 2));
      console.log(`at the crashes ${undurable} writes were not covered by an fsync, ${takenBack} of them were lost`);
      return pace;
    }));

  test("and a disk that promises and does not keep is found out", async (context) => {
    await using folder = await temporaryFolder();
    const dataDir = join(folder.path, "data");
    const disk = createForgetfulDisk(folder.path, dataDir, true);
    if (!disk) return context.skip("needs gcc for the layer that forgets writes");
    await using engine = await start({ dataDir, env: disk.env });
    let first = true;
    const history = await underFaults(engine, 1, 0, async () => {
      if (first) await crash(engine, () => void disk.forget(() => false));
      first = false;
    });
    expect(faultsOf(history).some((fault) => /lost write|not linearizable|revision/.test(fault))).toBe(true);
  });
});
