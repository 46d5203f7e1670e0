import { once } from "node:events";
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pino } from "pino";
import { expect, vi } from "vitest";
import { runDaemon } from "../../../src/daemon.ts";
import { createHost } from "../../../src/host/create-host.ts";
import { createPaths, type Paths } from "../../../src/host/paths.ts";
import { type Answer, call } from "../http/fixtures.ts";

const sources = resolve(import.meta.dirname, "../../..");

/** A daemon of its own root in this process, with its real engine as a child; Kubernetes is left out. */
export interface TestNode extends AsyncDisposable {
  readonly name: string;
  readonly address: string;
  readonly paths: Paths;
  readonly faults: string;
  call(method: string, path: string, body?: object, headers?: Record<string, string>): Promise<Answer>;
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Files of the node beside its own state, for the proof that nothing is left. */
  leftovers(): Promise<readonly string[]>;
}

/** A free port whose neighbour is free as well: the mesh of a node listens beside its k8sd. */
export async function freePort(): Promise<number> {
  for (;;) {
    const [first, second] = [createServer(), createServer()];
    try {
      const port = await listening(first, 0);
      await listening(second, port + 1);
      return port;
    } catch {
      // The neighbour is somebody's, or there is none.
    } finally {
      first.close();
      second.close();
    }
  }
}

async function listening(server: Server, port: number): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

export async function createNode(name: string): Promise<TestNode> {
  const root = await mkdtemp(join(tmpdir(), "k8sd-join-"));
  const snap = join(root, "snap");
  const faults = join(root, "faults");
  const snapCommon = join(root, "common");
  await mkdir(join(snap, "bin"), { recursive: true });
  await mkdir(faults);
  await copyFile(join(sources, "../../snap/bin/run-service"), join(snap, "bin/run-service"));
  const engine = `#!/bin/sh\nexec ${process.execPath} -C source ${sources}/src/datastore/engine/main.ts "$@"\n`;
  await writeFile(join(snap, "bin/k8s-datastore"), engine);
  for (const program of ["run-service", "k8s-datastore"]) await chmod(join(snap, "bin", program), 0o755);
  const options = { root, snap, snapCommon, serviceManager: "supervisor" } as const;
  const paths = createPaths(options);
  let running: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined;
  const node: TestNode = {
    name,
    address: `127.0.0.1:${await freePort()}`,
    paths,
    faults,
    call: (method, path, body, headers = {}) =>
      call(paths.controlSocket, method, path, { ...(body === undefined ? {} : { body }), headers }),
    start: async () => {
      const stop = new AbortController();
      const daemon = {
        ...options,
        snapData: undefined,
        snapInstance: undefined,
        stateDir: undefined,
        kubernetes: false,
        logLevel: "silent",
        socketGroup: undefined,
        drainTimeoutMs: 100,
        faultDirectory: faults,
      };
      const ended = runDaemon(daemon, pino({ level: process.env.K8SD_TEST_LOG ?? "silent" }), stop.signal);
      running = { stop, ended };
      const ready = async (): Promise<void> => {
        const { status } = await node.call("GET", "/core/1.0/ready");
        expect(status).toBe(200);
      };
      await Promise.race([vi.waitFor(ready, { timeout: 20_000, interval: 20 }), ended]);
    },
    stop: async () => {
      running?.stop.abort();
      await running?.ended;
      running = undefined;
    },
    leftovers: async () => {
      const below = await Promise.all(
        [paths.pki, paths.kubernetes, paths.args, paths.datastore, join(root, "etc")].map((directory) =>
          readdir(directory).catch(() => []),
        ),
      );
      return below.flat();
    },
    [Symbol.asyncDispose]: async () => {
      await node.stop();
      const host = createHost(options);
      await host.services.stop("k8s-datastore", AbortSignal.timeout(20_000));
      await host[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
  await node.start();
  return node;
}

export async function bootstrap(node: TestNode): Promise<void> {
  const config = { "disable-system-tuning": true, "etcd-port": await freePort() };
  const answer = await node.call("POST", "/1.0/k8sd/cluster", { name: node.name, address: node.address, config });
  expect(answer.json.error).toBe("");
}

export async function token(node: TestNode, request: object): Promise<string> {
  const answer = await node.call("POST", "/1.0/k8sd/cluster/tokens", request);
  expect(answer.json.error).toBe("");
  return (answer.json.metadata as { token: string }).token;
}

export function joinRequest(node: TestNode, joinToken: string) {
  return { name: node.name, address: node.address, token: joinToken, config: "disable-system-tuning: true" };
}

export function joinCluster(node: TestNode, joinToken: string, headers: Record<string, string> = {}): Promise<Answer> {
  return node.call("POST", "/1.0/k8sd/cluster/join", joinRequest(node, joinToken), headers);
}

/** Name and state of each member, as the node sees them. */
export async function membersOf(node: TestNode): Promise<Record<string, string>> {
  const { json } = await node.call("GET", "/1.0/k8sd/members");
  const { members } = json.metadata as { members: { name: string; state: string }[] };
  return Object.fromEntries(members.map(({ name, state }) => [name, state]));
}
