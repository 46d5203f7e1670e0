import { afterAll, beforeAll } from "vitest";
import { differentialTests } from "./differential/suite.ts";
import { databaseArgs, type Postgres, startPostgres } from "./support/postgres.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

differentialTests("the engine over PostgreSQL", 2_000, async (folder) =>
  databaseArgs(folder, await postgres.database()),
);
