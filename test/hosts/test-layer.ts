import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/**
 * The host layer that `node -C source test/kubernetes/main.ts` made, or the one K8SD_USR_LAYER names. These tests do
 * not make it themselves: without it, those that need its programs are skipped.
 */
export function findTestLayer(): string | undefined {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const candidates = [process.env.K8SD_USR_LAYER, join(cache, "k8sd/current/usr")];
  return candidates.find((each) => each !== undefined && existsSync(join(each, "sbin/nft")));
}

/** The folder of containerd and its companions, where they are not in the layer itself. */
export function findTestPrograms(): string | undefined {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const bin = join(cache, "k8sd/current/bin");
  return existsSync(join(bin, "containerd")) ? bin : undefined;
}
