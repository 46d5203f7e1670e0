import { isPostgresUrl, isUnprotected, withoutPassword } from "../../datastore/postgres-url.ts";
import { type Problem, problem } from "./problems.ts";
import type { ClusterConfig } from "./types.ts";

/** Members of an etcd cluster, or one PostgreSQL database. */
export function datastoreServers({ datastore }: Pick<ClusterConfig, "datastore">): readonly Problem[] {
  const servers = datastore["external-servers"] ?? [];
  if (servers.some(isPostgresUrl)) return postgresServer(datastore, servers);
  return servers
    .filter((server) => !isEtcdUrl(server))
    .map((server) =>
      problem(
        "datastore-servers",
        `datastore.external-servers contains invalid address: ${server.replace(/^([^/]*\/\/[^:]*):.*@/, "$1:…@")}`,
        "Give URLs such as https://10.0.0.10:2379, or one postgres://USER:PASSWORD@HOST/DATABASE.",
      ),
    );
}

/** One database, which knows us by what its URL says. */
function postgresServer(datastore: ClusterConfig["datastore"], servers: readonly string[]): readonly Problem[] {
  const alone = problem(
    "datastore-servers",
    "datastore.external-servers names a PostgreSQL database beside other servers",
    "Give one URL; several hosts of one database belong behind one name.",
  );
  const pems = (["ca-crt", "client-crt", "client-key"] as const).filter((key) => datastore[`external-${key}`]);
  const unused = pems.map((key) =>
    problem(
      `datastore-${key}`,
      `datastore-${key} is for etcd, and datastore-servers names a PostgreSQL database`,
      `Remove datastore-${key}; name files in the URL instead: ?sslmode=verify-full&sslrootcert=…&sslcert=…&sslkey=….`,
    ),
  );
  const open = servers
    .filter((server) => isPostgresUrl(server) && isUnprotected(server))
    .map((server) =>
      problem(
        "datastore-servers",
        `datastore.external-servers does not say how the way to ${withoutPassword(server)} is protected`,
        "Add ?sslmode=verify-full to the URL, or sslmode=disable where the network is protected by other means.",
      ),
    );
  return [...(servers.length === 1 ? [] : [alone]), ...unused, ...open];
}

function isEtcdUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain =
    url?.username === "" && url.password === "" && (url.pathname === "/" || url.pathname === "") && url.search === "";
  return plain && ["http:", "https:"].includes(url.protocol) && url.hostname !== "";
}
