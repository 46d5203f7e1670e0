import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Operation } from "./history/operations.ts";
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

  test("over an orderly restart of PostgreSQL and ten seconds without it, after which every client goes on", () =>
    repeat(async (seed) => {
      await using servers = await twoServers(postgres);
      let back = Number.POSITIVE_INFINITY;
      let awayMs = 0;
      const away = async (restart: Promise<void>) => {
        const since = performance.now();
        await restart;
        awayMs += performance.now() - since;
      };
      const history = await recordTwo(servers, seed, async (nextKeys) => {
        await away(postgres.restart());
        nextKeys();
        await delay(2_000);
        const whileDown = async () => {
          // Calls without an answer are many now: where nothing else happens they cost the checker little.
          nextKeys();
          await delay(10_000);
          nextKeys();
        };
        await away(postgres.restart(whileDown));
        back = performance.now();
        await delay(8_000);
      });
      const served = history.operations.filter(({ answer, start }) => answer !== undefined && start > back);
      const clientsOf = (operations: readonly Operation[]) => new Set(operations.map(({ client }) => client)).size;
      expect(clientsOf(served)).toBe(clientsOf(history.operations));
      const pace = expectSound(seed, history);
      return { ...pace, seconds: pace.seconds - awayMs / 1000 };
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
