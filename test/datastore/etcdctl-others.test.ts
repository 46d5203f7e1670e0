import { afterAll, beforeAll, describe } from "vitest";
import { etcdctlTests } from "./etcdctl/suite.ts";
import { databaseArgs, type Postgres, startPostgres } from "./support/postgres.ts";
import { etcdPrograms } from "./support/servers.ts";

const newest = async () => (await etcdPrograms()).etcdctl;
/** Where Debian's is taken, it is of 3.5. */
const ofNodes = async () => (await etcdPrograms()).etcdctlOfNodes;

etcdctlTests("the etcdctl of nodes", ofNodes);

describe("over PostgreSQL", () => {
  let postgres: Postgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(() => postgres?.[Symbol.asyncDispose]());
  const args = async (folder: string) => databaseArgs(folder, await postgres.database());

  etcdctlTests("etcdctl 3.6", newest, args);
  etcdctlTests("the etcdctl of nodes", ofNodes, args);
});
