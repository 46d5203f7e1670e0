import { etcdErrors } from "../etcd-error.ts";
import { type Connect, type Connection, isLost } from "./connection.ts";

/** One connection that is made when it is needed, and anew after it was lost. One user at a time. */
export interface Session {
  use<T>(run: (connection: Connection) => Promise<T>): Promise<T>;
  end(): Promise<void>;
}

/**
 * For sessions whose statements look keys up one by one, so what these hold decides nothing about their plans; planning
 * them anew cost the database more than half of each commit.
 */
export async function planOnce(connection: Connection): Promise<void> {
  await connection.rows("SET plan_cache_mode = force_generic_plan");
}

/** @param opened prepares a new connection. */
export function createSession(
  connect: Connect,
  opened: (connection: Connection) => Promise<void> = async () => {},
): Session {
  let current: Connection | undefined;
  let ended = false;

  async function open(): Promise<Connection> {
    if (ended) throw etcdErrors.stopped();
    if (current) return current;
    const connection = await connect();
    connection.onLost(() => drop(connection));
    try {
      await opened(connection);
    } catch (error) {
      void connection.end();
      throw error;
    }
    if (ended) {
      void connection.end();
      throw etcdErrors.stopped();
    }
    current = connection;
    return connection;
  }

  function drop(connection: Connection): void {
    if (current === connection) current = undefined;
    void connection.end();
  }

  return {
    async use(run) {
      const connection = await open();
      try {
        return await run(connection);
      } catch (error) {
        if (isLost(error)) drop(connection);
        else await connection.rows("ROLLBACK").catch(() => drop(connection));
        throw error;
      }
    },
    async end() {
      ended = true;
      const connection = current;
      current = undefined;
      await connection?.end();
    },
  };
}
