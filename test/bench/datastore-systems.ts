import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readdir, readFile, stat } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { databaseArgs, startPostgres } from "../datastore/support/postgres.ts";
import { freePort } from "../datastore/support/servers.ts";
import type { DatastorePrograms } from "./datastore-programs.ts";

/** The last one is ours as well. */
export type SystemName = "etcd" | "ours" | "kine" | "postgres";

/** One server under test, with an empty store of its own. */
export interface System extends AsyncDisposable {
  readonly name: SystemName;
  /** HOST:PORT */
  readonly endpoint: string;
  /** Resident memory in MiB: now, and the most there was. */
  memory(): Promise<{ readonly now: number; readonly most: number }>;
  /** Size of its files in MiB. */
  disk(): Promise<number>;
}

const repository = join(import.meta.dirname, "..", "..");
const startDeadlineMs = 20_000;

/**
 * All make each acknowledged write durable: etcd and PostgreSQL (fsync, synchronous_commit) by default, ours always; kine's default of synchronous=NORMAL does not,
 * so it is told to, and all else of its default parameters stays.
 */
const kineParameters =
  "_journal_mode=WAL&_busy_timeout=30000&_synchronous=FULL&_txlock=immediate&_stmt_cache_size=20&cache=shared";

export async function startSystem(
  name: Exclude<SystemName, "postgres">,
  programs: DatastorePrograms,
  folder: string,
): Promise<System> {
  return start(name, programs, folder);
}

/** PostgreSQL on the same disk, with its own settings but for small buffers, and our server over it. */
export async function startOverPostgres(programs: DatastorePrograms, folder: string): Promise<System> {
  await using stack = new AsyncDisposableStack();
  // It does not run as root, and has to find its way to its data.
  await chmod(folder, 0o755);
  const postgres = stack.use(await startPostgres(folder));
  const args = await databaseArgs(folder, await postgres.database());
  const system = stack.use(await start("postgres", programs, folder, args));
  const owned = stack.move();
  return { ...system, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function start(
  name: SystemName,
  programs: DatastorePrograms,
  folder: string,
  more: readonly string[] = [],
): Promise<System> {
  const data = join(folder, name);
  await mkdir(data, { recursive: true });
  const [port, peerPort] = [await freePort(), await freePort()];
  const endpoint = `127.0.0.1:${port}`;
  const url = `http://${endpoint}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  // The wrapper that the product starts, with its settings for memory.
  const ours = [join(repository, "snap/bin/k8s-datastore"), "--data-dir", data, "--listen-client-urls", url];
  const commands: Readonly<Record<SystemName, readonly string[]>> = {
    etcd: [
      programs.etcd,
      ...["--data-dir", data, "--listen-client-urls", url, "--advertise-client-urls", url, "--log-level", "error"],
      ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
      ...["--initial-cluster", `default=${peerUrl}`],
    ],
    ours,
    postgres: [...ours, ...more],
    kine: [
      programs.kine,
      ...["--listen-address", endpoint, "--metrics-bind-address", "0"],
      ...["--endpoint", `sqlite://${join(data, "state.db")}?${kineParameters}`],
    ],
  };
  const [program = "", ...args] = commands[name];
  const child = spawn(program, args, { cwd: data, stdio: "ignore", env: environment(folder) });
  await reachable(child, name, port);
  return {
    name,
    endpoint,
    async memory() {
      const status = await readFile(join("/proc", String(child.pid), "status"), "utf8");
      const mebibytes = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1]) / 1024;
      return { now: mebibytes("VmRSS"), most: mebibytes("VmHWM") };
    },
    async disk() {
      const names = await readdir(data, { recursive: true });
      const sizes = await Promise.all(names.map((file) => stat(join(data, file))));
      return sizes.reduce((sum, { blocks }) => sum + blocks * 512, 0) / 1024 ** 2;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** A layout as in the snap: bin/node and lib/k8s-datastore.js. */
function environment(folder: string): NodeJS.ProcessEnv {
  return { ...process.env, SNAP: join(folder, "snap") };
}

async function reachable(child: ChildProcess, name: string, port: number): Promise<void> {
  for (const end = Date.now() + startDeadlineMs; ; await pause(50)) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
    const socket = connect(port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
    } finally {
      socket.destroy();
    }
  }
}
