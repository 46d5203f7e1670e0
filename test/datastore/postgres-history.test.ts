import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, test } from "vitest";
import { repeat, repeatMs } from "./history/repeat.ts";
import { expectSound } from "./history/sound.ts";
import { type Postgres, startPostgres } from "./support/postgres.ts";
import type { Server } from "./support/servers.ts";
import { recordTwo, twoServers } from "./support/two-servers.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

describe("a concurrent history over two servers is linearizable and its watches are reliable", {
  timeout: repeatMs,
}, () => {
  test("over kill -9 of PostgreSQL and its recovery", () =>
    repeat(async (seed) => {
      await using servers = await twoServers(postgres);
      return expectSound(seed, await recordTwo(servers, seed, () => postgres.crash()));
    }));

  test("over a pause of one in the middle of its work, longer than the others wait for it", () =>
    repeat(async (seed) => {
      await using servers = await twoServers(postgres);
      const pause = async () => {
        const { pid } = servers.all[0] as Server;
        process.kill(pid, "SIGSTOP");
        await delay(7_000);
        process.kill(pid, "SIGCONT");
      };
      return expectSound(seed, await recordTwo(servers, seed, pause));
    }));
});
