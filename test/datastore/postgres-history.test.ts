import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, test } from "vitest";
import { expectSound } from "./history/sound.ts";
import { type Postgres, startPostgres } from "./support/postgres.ts";
import type { Server } from "./support/servers.ts";
import { recordTwo, twoServers } from "./support/two-servers.ts";

const seed = Number(process.env.K8SD_SEED ?? Math.floor(Math.random() * 2 ** 31));

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

describe("a concurrent history over two servers is linearizable and its watches are reliable", () => {
  test("over kill -9 of PostgreSQL and its recovery", async () => {
    await using servers = await twoServers(postgres);
    expectSound(seed, await recordTwo(servers, seed, () => postgres.crash()));
  });

  test("over a pause of one in the middle of its work, longer than the others wait for it", async () => {
    await using servers = await twoServers(postgres);
    const pause = async () => {
      const { pid } = servers.all[0] as Server;
      process.kill(pid, "SIGSTOP");
      await delay(7_000);
      process.kill(pid, "SIGCONT");
    };
    expectSound(seed, await recordTwo(servers, seed, pause));
  });
});
