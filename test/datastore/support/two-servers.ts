import { setTimeout as delay } from "node:timers/promises";
import { type History, record } from "../history/record.ts";
import { betweenFaultsMs, rounds } from "../history/repeat.ts";
import { type EtcdCalls, etcdCalls } from "./etcd-calls.ts";
import { openConnection } from "./grpc-client.ts";
import { databaseArgs, type Postgres } from "./postgres.ts";
import { freePort, type Server, startEngine, temporaryFolder } from "./servers.ts";

export interface Servers extends AsyncDisposable {
  readonly url: string;
  readonly all: Server[];
  readonly calls: readonly [EtcdCalls, EtcdCalls];
  readonly connections: readonly ReturnType<typeof openConnection>[];
  /** Starts one of them anew, at the same address. */
  again(index: number): Promise<void>;
}

/** Two servers on one new database. */
export async function twoServers(postgres: Postgres): Promise<Servers> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const url = await postgres.database();
  const args = await databaseArgs(folder.path, url);
  const ports = [await freePort(), await freePort()];
  const start = (index: number) => startEngine({ dataDir: `${folder.path}/${index}`, port: ports[index] ?? 0, args });
  const all = await Promise.all([start(0), start(1)]);
  stack.defer(async () => void (await Promise.all(all.map((server) => server.kill("SIGKILL")))));
  const connections = all.map(({ endpoint }) => openConnection(endpoint));
  stack.defer(() => {
    for (const connection of connections) connection.close();
  });
  const owned = stack.move();
  return {
    url,
    all,
    connections,
    calls: connections.map(etcdCalls) as [EtcdCalls, EtcdCalls],
    async again(index) {
      all[index] = await start(index);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const clients = 32;
/** What the clients of both servers see while each round brings a fault, which may have them go on to new keys. */
export function recordTwo(
  servers: Servers,
  seed: number,
  fault: (nextKeys: () => void) => Promise<void>,
): Promise<History> {
  return record({
    endpoints: servers.all.map(({ endpoint }) => endpoint) as [string, ...string[]],
    clients,
    seed,
    padding: 0,
    async during(control) {
      for (let round = 0; round < rounds; round++) {
        await delay(betweenFaultsMs);
        await fault(control.nextKeys);
        await delay(betweenFaultsMs);
        control.nextKeys();
      }
    },
  });
}
