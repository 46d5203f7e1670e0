import { AppError } from "../lib/app-error.ts";
import { type Connection, createConnect } from "./engine/postgres/connection.ts";
import { withoutPassword } from "./postgres-url.ts";

/** Why a database cannot hold the cluster, and what to do. */
export interface DatabaseProblem {
  readonly message: string;
  readonly remedy: string;
}

const rights = `
  SELECT has_database_privilege(current_database(), 'CREATE'), current_user, current_database(),
    to_regclass('k8s_datastore.current') IS NOT NULL`;
const ours = `
  SELECT count(*) FROM k8s_datastore.current
  WHERE substring(key FROM 1 FOR 5) = 'k8sd/' OR substring(key FROM 1 FOR 10) = '/registry/'`;

/** All that stands in the way of a new cluster; nothing is written. */
export async function databaseProblems(url: string, signal: AbortSignal): Promise<readonly DatabaseProblem[]> {
  const name = withoutPassword(url);
  try {
    return await withConnection(url, signal, (connection) => look(name, connection));
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof AppError)) throw error;
    return [{ message: `the database ${name} does not do: ${error.message}`, remedy: error.remedy ?? "" }];
  }
}

/** The same for data that comes from another store; it brings its revisions along, for which the schema has to be new. */
export async function newDatabaseProblems(url: string, signal: AbortSignal): Promise<readonly DatabaseProblem[]> {
  const problems = await databaseProblems(url, signal);
  if (problems.length > 0 || !(await withConnection(url, signal, exists))) return problems;
  const message = `the database ${withoutPassword(url)} has a schema k8s_datastore already, without keys of a cluster`;
  return [{ message, remedy: "If nothing needs it: DROP SCHEMA k8s_datastore CASCADE;" }];
}

/** Takes back what a server of ours made there. */
export async function dropDatabase(url: string, signal: AbortSignal): Promise<void> {
  await withConnection(url, signal, (connection) => connection.rows("DROP SCHEMA IF EXISTS k8s_datastore CASCADE"));
}

async function exists(connection: Connection): Promise<boolean> {
  return (await connection.rows("SELECT to_regnamespace('k8s_datastore') IS NOT NULL"))[0]?.[0] === true;
}

async function withConnection<T>(
  url: string,
  signal: AbortSignal,
  use: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connect = await createConnect(url);
  signal.throwIfAborted();
  const connection = await connect();
  try {
    return await use(connection);
  } finally {
    await connection.end();
  }
}

async function look(name: string, connection: Connection): Promise<readonly DatabaseProblem[]> {
  const [row] = await connection.rows(rights);
  const [mayCreate, user, database, exists] = row as [boolean, string, string, boolean];
  if (!exists) {
    if (mayCreate) return [];
    const message = `the database ${name} does not do: ${user} may not make a schema there`;
    return [{ message, remedy: `As the database's owner: GRANT CREATE ON DATABASE ${database} TO ${user};` }];
  }
  const keys = (await connection.rows(ours))[0]?.[0] as number;
  if (keys === 0) return [];
  return [
    {
      message: `the database ${name} is not empty: its schema k8s_datastore holds ${keys} keys of a cluster`,
      remedy: "Give an empty database; k8s never deletes data that it did not write.",
    },
  ];
}
