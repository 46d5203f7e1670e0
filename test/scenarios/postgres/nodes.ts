import { limitedUser, type Postgres, startPostgres } from "../../datastore/support/postgres.ts";
import { createNetwork } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";

/** Where the hosts see PostgreSQL's socket. */
const socket = "/theirs";
export const password = "very-hidden-word";

export interface PostgresNodes extends AsyncDisposable {
  readonly postgres: Postgres;
  readonly hosts: readonly Host[];
  /** A new database that its user reaches by a password: a bootstrap configuration with it. */
  config(): Promise<string>;
}

/** A PostgreSQL of somebody else, and hosts that reach it. */
export async function createPostgresNodes(
  count: number,
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<PostgresNodes> {
  await using stack = new AsyncDisposableStack();
  const staged = await stagedForTests();
  const postgres = stack.use(await startPostgres());
  const network = stack.use(await createNetwork());
  const binds = [{ from: postgres.folder, to: socket }];
  const hosts = await Promise.all(
    Array.from({ length: count }, async () => stack.use(await createNode({ staged, network, flags, binds, env }))),
  );
  const owned = stack.move();
  return {
    postgres,
    hosts,
    async config() {
      const url = await postgres.database();
      const database = new URL(url).pathname.slice(1);
      await postgres.run(
        url,
        `DO $$ BEGIN CREATE ROLE ${limitedUser} LOGIN PASSWORD '${password}';
        EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
      );
      await postgres.run(url, `ALTER DATABASE ${database} OWNER TO ${limitedUser}`);
      const given = `postgres://${limitedUser}:${password}@localhost/${database}?host=${socket}`;
      return `datastore-type: external\ndatastore-servers: ["${given}"]\n`;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
