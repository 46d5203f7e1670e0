import { isPostgresUrl, withoutPassword } from "../../datastore/postgres-url.ts";
import { AppError } from "../../lib/app-error.ts";
import { datastoreServers } from "../config/datastore-servers.ts";
import { throwProblems } from "../config/problems.ts";
import type { ManagedEngine, MovableEngine } from "./plan.ts";

export interface Wish {
  readonly to: ManagedEngine | "external";
  /** With the password where there is one; of an external datastore only. */
  readonly servers: readonly string[];
}

/** Where the data shall be. */
export interface Destination {
  readonly engine: MovableEngine;
  /** Of a database, for people and records. */
  readonly server: string;
  /** Of a database, with its password. */
  readonly url: string | undefined;
}

const field = "datastore-servers";

export function destinationOf({ to, servers }: Wish): Destination {
  if (to !== "external") {
    if (servers.length > 0) {
      throw new AppError("invalid", `cannot migrate the datastore: ${field} is for a datastore of somebody else`, {
        field,
        remedy: `Leave it out, or migrate to external instead of ${to}.`,
      });
    }
    return { engine: to, server: "", url: undefined };
  }
  throwProblems(datastoreServers({ datastore: { type: "external", "external-servers": [...servers] } }));
  const [url] = servers;
  if (url === undefined || !isPostgresUrl(url)) {
    throw new AppError("invalid", "cannot migrate the datastore: external needs the URL of a PostgreSQL database", {
      field,
      remedy: "Give datastore-servers with one postgres://USER:PASSWORD@HOST/DATABASE.",
    });
  }
  return { engine: "postgres", server: withoutPassword(url), url };
}
