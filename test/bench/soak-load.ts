import { readFile } from "node:fs/promises";
import { createKubeClient } from "@k8sd/k8sd/kube/kube-client.ts";
import { configMaps } from "@k8sd/k8sd/kube/resources.ts";

/**
 * Runs inside a test host: creates, changes and deletes objects for a time, and looks once a second whether kube-apiserver
 * is ready. Prints one JSON line at the end. node -C source soak-load.ts SECONDS OBJECTS WRITERS
 */
const [seconds = 60, objects = 2_000, writers = 4] = process.argv.slice(2).map(Number);
const kube = createKubeClient(await readFile("/etc/kubernetes/admin.conf", "utf8"));
const end = Date.now() + seconds * 1_000;
const signal = new AbortController().signal;
const namespace = "default";
const latencies: number[] = [];
const notReady: string[] = [];
let writes = 0;

async function timed(work: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  await work();
  latencies.push(performance.now() - start);
  writes += 1;
}

/** Each writer has objects of its own, so that every change succeeds. */
async function write(writer: number): Promise<void> {
  const names = Array.from({ length: Math.floor(objects / writers) }, (_, index) => `soak-${writer}-${index}`);
  const object = (name: string, round: number) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace },
    data: { round: String(round), filler: "x".repeat(512) },
  });
  for (let round = 0; Date.now() < end; round += 1) {
    for (const name of names) await timed(() => kube.create(configMaps, object(name, round), { signal }));
    for (const name of names) {
      await timed(() =>
        kube.patch(configMaps, { namespace, name }, { data: { round: `${round} changed` } }, { signal }),
      );
    }
    for (const name of names) await timed(() => kube.delete(configMaps, { namespace, name }, { signal }));
  }
}

async function watchReadiness(): Promise<void> {
  while (Date.now() < end) {
    await kube.raw("/readyz", { signal, deadlineMs: 5_000 }).catch((error: unknown) => {
      notReady.push(`${new Date().toISOString()} ${error instanceof Error ? error.message : String(error)}`);
    });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

await Promise.all([watchReadiness(), ...Array.from({ length: writers }, (_, writer) => write(writer))]);
latencies.sort((a, b) => a - b);
const at = (share: number): number => latencies[Math.floor((latencies.length - 1) * share)] ?? Number.NaN;
console.log(JSON.stringify({ writes, perSecond: writes / seconds, p50: at(0.5), p99: at(0.99), notReady }));
kube[Symbol.dispose]();
