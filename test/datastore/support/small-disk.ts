import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { errorCode } from "@k8sd/k8sd/lib/app-error.ts";

/** A file system of its own size, in a mount namespace that ends with it. */
export interface SmallDisk extends AsyncDisposable {
  /** Before a command that is to see it. */
  readonly within: readonly string[];
  fill(): void;
  free(): void;
}

/** Undefined where namespaces may not be made. */
export async function mountSmallDisk(path: string, megabytes: number): Promise<SmallDisk | undefined> {
  if (!mayMount()) return undefined;
  const script = `mount -t tmpfs -o size=${megabytes}m tmpfs '${path}' && echo ready && exec sleep 3600`;
  const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(holder.stdout, "data");
  const filler = join("/proc", String(holder.pid), "root", path, "filler");
  return {
    within: ["nsenter", "--target", String(holder.pid), "--mount", "--"],
    fill() {
      const file = openSync(filler, "w");
      try {
        // By ever smaller parts, down to the last page.
        for (let size = 1024 * 1024; size >= 4096; size /= 2) writeUntilFull(file, Buffer.alloc(size));
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(filler, { force: true }),
    async [Symbol.asyncDispose]() {
      const exited = once(holder, "exit");
      holder.kill("SIGKILL");
      await exited;
    },
  };
}

function writeUntilFull(file: number, part: Buffer): void {
  try {
    while (writeSync(file, part) === part.length);
  } catch (error) {
    if (errorCode(error) !== "ENOSPC") throw error;
  }
}

/** CAP_SYS_ADMIN. */
function mayMount(): boolean {
  const capabilities = /CapEff:\s*([0-9a-f]+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return (BigInt(`0x${capabilities}`) & (1n << 21n)) !== 0n;
}
