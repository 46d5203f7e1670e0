import { join } from "node:path";
import { bytes, defaults, type EtcdCalls, etcdCalls } from "../support/etcd-calls.ts";
import { type GrpcConnection, openConnection } from "../support/grpc-client.ts";
import { type Server, startEngine, startEtcd, temporaryFolder } from "../support/servers.ts";
import { clients } from "./generate.ts";

export interface Client {
  readonly connection: GrpcConnection;
  readonly calls: EtcdCalls;
}

/** A server with a connection for each client of a program. */
export interface Target {
  readonly server: Server;
  readonly clients: readonly Client[];
  /** Nothing there, all before compacted, so that programs do not see each other. Gives the revision. */
  reset(): Promise<number>;
}

export interface Pair extends AsyncDisposable {
  readonly etcd: Target;
  readonly ours: Target;
}

/** What starts our server on a new store; SQLite's when there is nothing to say. */
export type EngineArgs = (folder: string) => Promise<readonly string[]>;
export const noArgs: EngineArgs = async () => [];

/** Both servers empty and in memory: what is compared is what they say, not what a disk does. */
export async function startPair(etcd: string, parent: string, engineArgs: EngineArgs = noArgs): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder(parent));
  const [theirs, ours] = await Promise.all([
    startEtcd(etcd, join(folder.path, "etcd")),
    startEngine({ dataDir: join(folder.path, "ours"), args: await engineArgs(folder.path) }),
  ]);
  stack.use(theirs);
  stack.use(ours);
  const targets = [theirs, ours].map((server) => {
    const target = connectTarget(server);
    stack.defer(() => {
      for (const { connection } of target.clients) connection.close();
    });
    return target;
  });
  const owned = stack.move();
  const [first, second] = targets as [Target, Target];
  return { etcd: first, ours: second, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function connectTarget(server: Server): Target {
  const all = Array.from({ length: clients }, () => {
    const connection = openConnection(server.endpoint);
    return { connection, calls: etcdCalls(connection) };
  });
  const { calls } = all[0] as Client;
  const everything = { key: bytes("\0"), rangeEnd: bytes("\0") };
  return {
    server,
    clients: all,
    async reset() {
      for (const { id } of (await calls.leases({})).leases) await calls.revoke({ id });
      await calls.put({ ...defaults.put, key: bytes("reset") });
      const { header } = await calls.remove({ ...defaults.remove, ...everything });
      const revision = header?.revision ?? 0;
      await calls.compact({ revision, physical: true });
      return revision;
    },
  };
}
