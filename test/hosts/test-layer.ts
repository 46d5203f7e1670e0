import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/**
 * What `node -C source test/kubernetes/main.ts` had at hand when it last ran: usr/ to lay over a host's /usr, bin/ and
 * images/. These tests do not get it themselves: without it, those that need its programs are skipped.
 */
export function findTestComponents(): string | undefined {
  const root = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "k8sd/current");
  return existsSync(join(root, "usr/sbin/nft")) ? root : undefined;
}

export function findTestLayer(): string | undefined {
  const root = findTestComponents();
  return root === undefined ? undefined : join(root, "usr");
}
