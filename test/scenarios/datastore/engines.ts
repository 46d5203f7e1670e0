import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type EtcdCalls, etcdCalls } from "../../datastore/support/etcd-calls.ts";
import { openConnection } from "../../datastore/support/grpc-client.ts";
import { databaseArgs, startPostgres } from "../../datastore/support/postgres.ts";
import { etcdPrograms, freePort, type Server, startEngine, startEtcd } from "../../datastore/support/servers.ts";

/** What kube-apiserver keeps its objects in. */
export interface Engine extends AsyncDisposable {
  readonly endpoint: string;
  /** Each ends something with kill -9 and starts it again, in turn. */
  readonly faults: readonly (() => Promise<void>)[];
  /** Kills it, has something done at it where kube-apiserver does not reach it, and starts it again. */
  away(act: (calls: EtcdCalls) => Promise<void>): Promise<void>;
  /** Resident memory of its server, in MiB. */
  resident(): Promise<number>;
}

export const engineNames = ["sqlite", "managed etcd", "PostgreSQL"] as const;
export type EngineName = (typeof engineNames)[number];

/** As the product's wrapper starts it; see snap/bin/k8s-datastore. */
const asInProduct = {
  NODE_OPTIONS: "--max-semi-space-size=4 --max-old-space-size=256",
  MALLOC_ARENA_MAX: "1",
  MALLOC_TRIM_THRESHOLD_: "131072",
  MALLOC_MMAP_THRESHOLD_: "131072",
};

export async function openEngine(name: EngineName, folder: string): Promise<Engine> {
  await using stack = new AsyncDisposableStack();
  const dataDir = join(folder, "data");
  const ports = { client: await freePort(), peer: await freePort() };
  const postgres = name === "PostgreSQL" ? stack.use(await startPostgres()) : undefined;
  const args = postgres === undefined ? [] : await databaseArgs(folder, await postgres.database());
  const { etcd } = await etcdPrograms();
  const start = (port = ports.client) =>
    name === "managed etcd"
      ? startEtcd(etcd, dataDir, { ...ports, client: port })
      : startEngine({ dataDir, port, args, env: asInProduct });
  let server: Server = await start();
  stack.defer(() => server.kill("SIGKILL"));
  const restart = async () => {
    await server.kill("SIGKILL");
    server = await start();
  };
  const owned = stack.move();
  return {
    endpoint: server.endpoint,
    faults: postgres === undefined ? [restart, restart, restart] : [restart, () => postgres.crash(), restart],
    async away(act) {
      await server.kill("SIGKILL");
      server = await start(await freePort());
      const connection = openConnection(server.endpoint);
      try {
        await act(etcdCalls(connection));
      } finally {
        connection.close();
        await restart();
      }
    },
    async resident() {
      const status = await readFile(join("/proc", String(server.pid), "status"), "utf8").catch(() => "");
      return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
