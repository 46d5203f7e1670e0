import { expect } from "vitest";
import { kubectl } from "../../expect-node.ts";
import type { Host } from "../../hosts/types.ts";
import { webImage } from "../../kubernetes/images/names.ts";

const page = "/cgi-bin/hostname";

/** Runs a pod on one node, whatever the scheduler thinks, and waits until it runs. */
export async function startPod(via: Host, name: string, node: string, ...command: string[]): Promise<void> {
  const overrides = JSON.stringify({ spec: { nodeName: node, terminationGracePeriodSeconds: 1 } });
  const image = [`--image=${webImage}`, "--image-pull-policy=IfNotPresent", `--overrides=${overrides}`];
  await kubectl(via, "run", name, ...image, ...(command.length === 0 ? [] : ["--command", "--", ...command]));
  await kubectl(via, "wait", `pod/${name}`, "--for=condition=Ready", "--timeout=180s");
}

export function fieldOf(via: Host, kind: string, name: string, path: string): Promise<string> {
  return kubectl(via, "get", kind, name, "-o", `jsonpath={${path}}`);
}

/** A pod fetches the page of the pod or Service at an address; the page says the pod's name. */
export async function fetches(via: Host, from: string, address: string, says: string): Promise<void> {
  // The image's busybox has no wget that works, its nc is enough for a page.
  const request = `printf 'GET ${page} HTTP/1.0\\r\\n\\r\\n' | nc -w 5 ${address} 80`;
  const fetched = () => kubectl(via, "exec", from, "--", "sh", "-c", request).catch((error: unknown) => String(error));
  await expect
    .poll(fetched, { timeout: 90_000, message: `${from} → ${address}` })
    .toMatch(new RegExp(`200 OK.*${says}`, "s"));
}
