import { join } from "node:path";
import type { Host } from "./host.ts";

const askMs = 10_000;

/**
 * What runs on this node, by name. Kubernetes is asked for itself: what was meant to be installed is not what counts.
 * A program that is not there has no version, and what needs it says so in its own words.
 */
export async function programVersions(
  host: Pick<Host, "paths" | "run">,
  own: { readonly k8sd: string; readonly kubernetes: boolean },
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  if (!own.kubernetes) return { k8sd: own.k8sd };
  const kubernetes = await host.run([join(host.paths.bin, "kubelet"), "--version"], { signal, timeoutMs: askMs }).then(
    ({ stdout }) => /\bv(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1],
    () => {
      signal.throwIfAborted();
      return undefined;
    },
  );
  return { k8sd: own.k8sd, ...(kubernetes === undefined ? {} : { kubernetes }) };
}
