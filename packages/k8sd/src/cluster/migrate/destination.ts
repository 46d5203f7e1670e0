import { isPostgresUrl, withoutPassword } from "../../datastore/postgres-url.ts";
import { AppError } from "../../lib/app-error.ts";
import { checkExternalDatastore, type EtcdAccess } from "../../pki/supplied.ts";
import { datastoreServers } from "../config/datastore-servers.ts";
import { throwProblems } from "../config/problems.ts";
import type { ManagedEngine, MovableEngine } from "./plan.ts";

export interface Wish {
  readonly to: ManagedEngine | "external";
  /** With the password where there is one; of an external datastore only. */
  readonly servers: readonly string[];
  readonly pems?: EtcdAccess;
}

/** Where the data shall be. */
export interface Destination {
  readonly engine: MovableEngine | "external";
  /** Of a database, for people and records. */
  readonly server: string;
  /** Of a database, with its password. */
  readonly url: string | undefined;
  /** An etcd of somebody else. */
  readonly etcd?: { readonly servers: readonly string[]; readonly access: EtcdAccess };
}

const field = "datastore-servers";

export function destinationOf({ to, servers, pems = {} }: Wish, now: Date): Destination {
  const [unused] = [...(servers.length > 0 ? [field] : []), ...Object.keys(pems)];
  if (to !== "external") {
    if (unused !== undefined) {
      throw new AppError("invalid", `cannot migrate the datastore: ${unused} is for a datastore of somebody else`, {
        field: unused,
        remedy: `Leave it out, or migrate to external instead of ${to}.`,
      });
    }
    return { engine: to, server: "", url: undefined };
  }
  throwProblems(
    datastoreServers({ datastore: { type: "external", "external-servers": [...servers], ...given(pems) } }),
  );
  const [url] = servers;
  if (url === undefined) {
    throw new AppError("invalid", "cannot migrate the datastore: external needs to know where it is", {
      field,
      remedy:
        "Give datastore-servers with the servers of an etcd, https://HOST:2379, or one postgres://USER:PASSWORD@HOST/DATABASE.",
    });
  }
  if (isPostgresUrl(url)) return { engine: "postgres", server: withoutPassword(url), url };
  checkExternalDatastore(pems, now);
  return { engine: "external", server: "", url: undefined, etcd: { servers, access: pems } };
}

const given = (pems: EtcdAccess) => ({
  ...(pems["datastore-ca-crt"] ? { "external-ca-crt": pems["datastore-ca-crt"] } : {}),
  ...(pems["datastore-client-crt"] ? { "external-client-crt": pems["datastore-client-crt"] } : {}),
  ...(pems["datastore-client-key"] ? { "external-client-key": pems["datastore-client-key"] } : {}),
});
