import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

/** Where a real etcd or etcdctl is: the folder in K8SD_TEST_ETCD, else the PATH; undefined when there is none. */
export function findProgram(name: "etcd" | "etcdctl"): string | undefined {
  const folders = [process.env.K8SD_TEST_ETCD ?? "", ...(process.env.PATH ?? "").split(":")];
  return folders
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A real etcd with an empty store, for comparison. */
export async function startEtcd(
  program: string,
  dataDir: string,
): Promise<{ readonly endpoint: string } & AsyncDisposable> {
  const [client, peer] = await Promise.all([freePort(), freePort()]);
  const clientUrl = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const args = ["--data-dir", dataDir, "--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl];
  args.push("--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl);
  args.push("--initial-cluster", `default=${peerUrl}`, "--log-level", "error");
  const child = spawn(program, args, { stdio: "ignore" });
  return {
    endpoint: clientUrl,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** etcd cannot be given port 0: it advertises what it was told. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return address && typeof address === "object" ? address.port : 0;
}
