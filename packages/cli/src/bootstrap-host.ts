import { readFile, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { loadHttp } from "./client/transport.ts";

const lxdHowto = "https://documentation.ubuntu.com/canonical-kubernetes/latest/snap/howto/install/lxd/";

/** Two lines for the user of an LXD container that lacks the profile Kubernetes needs; undefined elsewhere. */
export async function lxdHint(root: string): Promise<string | undefined> {
  const environment = await readFile(join(root, "proc/1/environ"), "utf8").catch(() => "");
  if (!environment.split("\0").includes("container=lxc")) return undefined;
  const owners = await Promise.all(
    ["sys", "proc", "dev/kmsg"].map((path) => stat(join(root, path)).catch(() => undefined)),
  );
  if (owners.every((file) => file?.uid === 0)) return undefined;
  return `The lxc profile for Canonical Kubernetes might be missing.\nFor running k8s inside LXD container, see ${lxdHowto}\n`;
}

/** Asks snapd; a host without snapd has no snaps. @throws when snapd is there and gives no answer. */
export async function isMicrok8sInstalled(root: string): Promise<boolean> {
  const socketPath = join(root, "run/snapd.socket");
  if ((await stat(socketPath).catch(() => undefined)) === undefined) return false;
  const { request } = loadHttp();
  const status = await new Promise<number>((resolve, reject) => {
    // snapd answers from memory; a hanging one must not hold up the bootstrap.
    const signal = AbortSignal.timeout(3_000);
    const outgoing = request({
      socketPath,
      path: "/v2/snaps/microk8s",
      agent: false,
      signal,
      headers: { host: "snapd" },
    });
    outgoing.on("response", (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
  if (status === 200) return true;
  if (status === 404) return false;
  throw new Error(`snapd answered with HTTP status ${status}`);
}

const memoryFilesystems: Readonly<Record<number, string>> = { 16914836: "tmpfs", 2240043254: "ramfs" };

/** The kind of memory file system that a directory is, or would be created, on; undefined on a disk. */
export async function memoryFilesystem(directory: string): Promise<string | undefined> {
  for (let path = directory; ; path = dirname(path)) {
    const found = await statfs(path).catch(() => undefined);
    if (found !== undefined) return memoryFilesystems[found.type];
    if (path === dirname(path)) return undefined;
  }
}
