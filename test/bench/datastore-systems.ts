import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { DatastorePrograms } from "./datastore-programs.ts";

export type SystemName = "etcd" | "ours" | "kine";

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
 * All three make each acknowledged write durable: etcd by default, ours always; kine's default of synchronous=NORMAL does not,
 * so it is told to, and all else of its default parameters stays.
 */
const kineParameters =
  "_journal_mode=WAL&_busy_timeout=30000&_synchronous=FULL&_txlock=immediate&_stmt_cache_size=20&cache=shared";

export async function startSystem(name: SystemName, programs: DatastorePrograms, folder: string): Promise<System> {
  const data = join(folder, name);
  await mkdir(data, { recursive: true });
  const [port, peerPort] = [await freePort(), await freePort()];
  const endpoint = `127.0.0.1:${port}`;
  const url = `http://${endpoint}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const commands: Readonly<Record<SystemName, readonly string[]>> = {
    etcd: [
      programs.etcd,
      ...["--data-dir", data, "--listen-client-urls", url, "--advertise-client-urls", url, "--log-level", "error"],
      ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
      ...["--initial-cluster", `default=${peerUrl}`],
    ],
    // The wrapper that the product starts, with its settings for memory.
    ours: [join(repository, "snap/bin/k8s-datastore"), "--data-dir", data, "--listen-client-urls", url],
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

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return address && typeof address === "object" ? address.port : 0;
}
