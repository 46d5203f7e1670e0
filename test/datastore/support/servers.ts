import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ensureComponents } from "../../kubernetes/ensure-components.ts";
import { defaults, etcdCalls } from "./etcd-calls.ts";
import { openConnection } from "./grpc-client.ts";

/** K8SD_TEST_ENGINE: the main file of another build, to compare an older or a bundled one. */
const entry = process.env.K8SD_TEST_ENGINE ?? fileURLToPath(import.meta.resolve("@k8sd/k8sd/datastore/engine/main.ts"));

export interface Server extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly endpoint: string;
  kill(signal: NodeJS.Signals): Promise<void>;
  /** What it wrote, for a failure's message. */
  output(): string;
}

export interface EngineOptions {
  readonly dataDir: string;
  /** Default 0: any free one. */
  readonly port?: number;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Before the program: a command that runs it elsewhere, and keeps its process id. */
  readonly within?: readonly string[];
}

/** Starts our own engine and waits until it serves. */
export async function startEngine(options: EngineOptions): Promise<Server> {
  const url = `http://127.0.0.1:${options.port ?? 0}`;
  const engine = [process.execPath, "-C", "source", entry, "--data-dir", options.dataDir, "--listen-client-urls", url];
  const [command = "", ...args] = [...(options.within ?? []), ...engine, ...(options.args ?? [])];
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
  });
  const output = capture(child);
  const endpoint = await new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the engine ended with ${code}: ${output()}`)));
    if (!child.stdout) return;
    createInterface({ input: child.stdout }).on("line", (line) => {
      const urls = /"urls":\["([^"]+)"/.exec(line)?.[1];
      if (line.includes('"Serving"') && urls) resolve(urls);
    });
  });
  return server("ours", child, endpoint, output);
}

/** A real etcd; without fsync, because only its answers count here. @param ports those it had, to start it again. */
export async function startEtcd(
  program: string,
  dataDir: string,
  ports?: { readonly client: number; readonly peer: number },
): Promise<Server> {
  const { client, peer } = ports ?? { client: await freePort(), peer: await freePort() };
  const clientUrl = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const args = ["--data-dir", dataDir, "--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl];
  args.push("--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl, "--unsafe-no-fsync");
  args.push("--initial-cluster", `default=${peerUrl}`, "--log-level", "error");
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const etcd = server("etcd", child, clientUrl, capture(child));
  const connection = openConnection(clientUrl);
  try {
    for (const deadline = Date.now() + 30_000; ; ) {
      const ready = await etcdCalls(connection)
        .range({ ...defaults.range, key: Buffer.from("a") }, 2_000)
        .catch(() => undefined);
      if (ready) return etcd;
      if (Date.now() > deadline || child.exitCode !== null) {
        await etcd[Symbol.asyncDispose]();
        throw new Error(`etcd does not serve: ${etcd.output()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    connection.close();
  }
}

/** etcd 3.6 and its etcdctl, and the etcdctl that nodes have, from wherever the project's components come. */
export async function etcdPrograms(): Promise<{
  readonly etcd: string;
  readonly etcdctl: string;
  readonly etcdctlOfNodes: string;
}> {
  const { bin } = await ensureComponents({ also: ["etcd-3.6"], report: (line) => console.error(line) });
  return {
    etcd: join(bin, "etcd-3.6", "etcd"),
    etcdctl: join(bin, "etcd-3.6", "etcdctl"),
    etcdctlOfNodes: join(bin, "etcdctl"),
  };
}

export async function temporaryFolder(parent = tmpdir()): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(parent, "k8s-datastore-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

function capture(child: ChildProcess): () => string {
  let all = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      all = (all + chunk.toString()).slice(-20_000);
    });
  }
  return () => all;
}

function server(name: string, child: ChildProcess, endpoint: string, output: () => string): Server {
  const kill = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  };
  return {
    name,
    pid: child.pid ?? 0,
    endpoint,
    kill,
    output,
    [Symbol.asyncDispose]: () => kill("SIGKILL"),
  };
}

/** etcd cannot be given port 0: it advertises what it was told. */
export async function freePort(): Promise<number> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  listener.close();
  return address && typeof address === "object" ? address.port : 0;
}
