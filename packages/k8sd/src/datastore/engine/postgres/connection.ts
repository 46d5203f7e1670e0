import type { Client, QueryArrayConfig, QueryArrayResult } from "pg";
import { AppError, errorCode } from "../../../lib/app-error.ts";

export type Row = readonly unknown[];

/** A text that is parsed and planned once per connection. */
export interface Sql {
  readonly name: string;
  readonly text: string;
  /** Beyond the usual one. */
  readonly deadlineMs?: number;
}

export interface Connection {
  /** Rows of the statement; of the last one where the text holds several. */
  rows(sql: string | Sql, values?: readonly unknown[]): Promise<Row[]>;
  onNotification(tell: (payload: string) => void): void;
  /** Once, when it is of no more use. */
  onLost(tell: (error: unknown) => void): void;
  end(): Promise<void>;
}

export type Connect = () => Promise<Connection>;

const connectMs = 5_000;
/** Longer than any statement of ours takes; a peer that vanished is noticed by then. */
const queryMs = 15_000;
/** The oldest one that still gets repairs. */
const minimumVersion = 140_000;

/**
 * A server that stops within a transaction loses it, so that the others can write. Compiling queries costs more than ours take.
 * Commits wait for the disk, whatever the database's own default is. All that we ask goes by an index, in as much time as it has
 * rows; a plan that was made while the tables were empty would go on to read all of them, for each key, until statistics come.
 */
const settings = `
  SET jit = off;
  SET enable_seqscan = off;
  SET enable_hashjoin = off;
  SET enable_mergejoin = off;
  SET idle_in_transaction_session_timeout = '5s';
  SET lock_timeout = '10s';
  SET search_path = k8s_datastore;
  SET client_min_messages = warning;
  SELECT set_config('synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false);
  SELECT current_setting('server_version_num')::int4, current_setting('server_version'), pg_is_in_recovery()`;

const int8 = 20;
/** A number where it fits. */
function integer(text: string): number | bigint {
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

/** @param url may hold a password: it never appears in an error or a log. */
export async function createConnect(url: string): Promise<Connect> {
  // Loaded where it is needed alone: it costs the embedded store nothing.
  const { default: PgClient } = await import("pg/lib/client.js");
  return async () => {
    const client = new PgClient({
      connectionString: url,
      application_name: "k8s-datastore",
      connectionTimeoutMillis: connectMs,
      query_timeout: queryMs,
      keepAlive: true,
      pipeline: true,
    });
    client.setTypeParser(int8, "text", integer);
    const connection = wrap(client);
    try {
      await client.connect();
      const [row] = await connection.rows(settings);
      checkServer(row ?? []);
      return connection;
    } catch (error) {
      void connection.end();
      throw error instanceof AppError ? error : refusal(error);
    }
  };
}

function wrap(client: Client): Connection {
  let lost: (error: unknown) => void = () => {};
  client.on("error", (error) => lost(error));
  client.on("end", () => lost(new Error("connection ended")));
  let held = false;
  /** What is asked in one turn goes out in one write, so that the database wakes up once for all of it. */
  function hold(): void {
    if (held) return;
    held = true;
    const { stream } = client.connection;
    stream.cork();
    process.nextTick(() => {
      held = false;
      stream.uncork();
    });
  }
  return {
    async rows(sql, values) {
      const { deadlineMs, ...query } = typeof sql === "string" ? { text: sql, deadlineMs: undefined } : sql;
      const config: QueryArrayConfig & { query_timeout?: number } = {
        ...query,
        rowMode: "array",
        ...(values && { values: [...values] }),
        ...(deadlineMs !== undefined && { query_timeout: deadlineMs }),
      };
      hold();
      const result: QueryArrayResult | QueryArrayResult[] = await client.query(config);
      return (Array.isArray(result) ? result.at(-1)?.rows : result.rows) ?? [];
    },
    onNotification: (tell) => void client.on("notification", ({ payload }) => tell(payload ?? "")),
    onLost(tell) {
      lost = tell;
    },
    async end() {
      lost = () => {};
      // A peer that does not answer is left behind.
      await client.end().catch(() => {});
    },
  };
}

/** The row is the last one of `settings`. */
export function checkServer([number, text, standby]: Row): void {
  if ((number as number) < minimumVersion) {
    throw new AppError(
      "conflict",
      `cannot use PostgreSQL ${String(text)}: it is older than ${minimumVersion / 10_000}`,
      {
        remedy: "upgrade the database server",
      },
    );
  }
  if (standby === true) {
    throw new AppError("unavailable", "cannot use PostgreSQL: this server is a standby, which cannot be written to", {
      remedy: "give the address of the primary, or one that follows it",
    });
  }
}

/** The five characters by which PostgreSQL names what went wrong; undefined for what did not come from it. */
export function sqlState(error: unknown): string | undefined {
  const code = errorCode(error);
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** How long a read or write waits for a database that is away. Clients give up at about the same time. */
export const patienceMs = 5_000;
export const retryMs = 100;

/** The connection cannot be used any more after these: it is lost, or its server goes down, or took the session away. */
export function isLost(error: unknown): boolean {
  const state = sqlState(error);
  return state === undefined || /^(08|57P|25P03)/.test(state);
}

/** It can go well the next time: others were in the way. */
export function isPassing(error: unknown): boolean {
  return /^(40001|40P01|55P03|53300|57014)$/.test(sqlState(error) ?? "");
}

/** What a user can do about a connection or a set-up that failed. */
export function refusal(cause: unknown): AppError {
  const state = sqlState(cause) ?? "";
  const said = cause instanceof Error ? cause.message : String(cause);
  if (/^28/.test(state) || /password/.test(said)) {
    return new AppError("unauthorized", `cannot use PostgreSQL: it does not let this user in: ${said}`, {
      remedy: "check user and password of the database URL, and pg_hba.conf of the server",
      cause,
    });
  }
  if (state === "3D000") {
    return new AppError("not-found", `cannot use PostgreSQL: ${said}`, {
      remedy: "create the database, owned by the user of the URL: CREATE DATABASE … OWNER …",
      cause,
    });
  }
  if (state === "42501") {
    return new AppError("forbidden", `cannot use PostgreSQL: ${said}`, {
      remedy: "let the user make a schema, GRANT CREATE ON DATABASE … TO …, or give it the schema k8s_datastore",
      cause,
    });
  }
  return new AppError("unavailable", `cannot reach PostgreSQL: ${said || "no answer"}`, {
    remedy: "check that the server runs, listens at the address of the database URL and lets this machine through",
    cause,
  });
}
