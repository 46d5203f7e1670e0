import { join } from "node:path";
import { becomesReady, bootstrap } from "../expect-node.ts";
import type { Host } from "../hosts/types.ts";
import { createNode } from "../node.ts";
import { stage } from "../stage.ts";
import { resident } from "./resident.ts";
import { type Figure, figure, median } from "./result.ts";

const objects = 2_000;
const writers = 2;
const sampleMs = 5_000;
/** Memory at the end over memory at the beginning: more than this is a leak, less is noise of the collector. */
const flat = { is: "at most", value: 1.25 } as const;

interface Sample {
  readonly datastore: number;
  readonly k8sd: number;
}

/** A node under steady change: is kube-apiserver always ready, and does memory stay flat. K8SD_SOAK_MINUTES, default 30. */
export async function benchSoak(): Promise<readonly Figure[]> {
  const minutes = Number(process.env.K8SD_SOAK_MINUTES ?? 30);
  const repository = join(import.meta.dirname, "..", "..");
  await using host = await createNode({
    staged: await stage({ kubernetes: true }),
    binds: [{ from: repository, to: "/opt/k8sd", readOnly: true }],
  });
  await bootstrap(host);
  await becomesReady(host);

  const samples: Sample[] = [];
  const stop = new AbortController();
  const sampling = sample(host, samples, stop.signal);
  const load = await host.tryRun(
    [
      "/snap/k8s/current/bin/node",
      "-C",
      "source",
      "/opt/k8sd/test/bench/soak-load.ts",
      String(minutes * 60),
      String(objects),
      String(writers),
    ],
    { timeoutMs: (minutes * 60 + 300) * 1_000 },
  );
  stop.abort();
  await sampling;
  if (load.exitCode !== 0) throw new Error(load.stderr);
  const result = JSON.parse(load.stdout) as { perSecond: number; p50: number; p99: number; notReady: string[] };
  for (const line of result.notReady) console.error(line);
  return [
    figure("writes through kube-apiserver", result.perSecond, "1/s"),
    figure("write p50", result.p50, "ms"),
    figure("write p99", result.p99, "ms"),
    figure("checks of /readyz that failed", result.notReady.length, "", { goal: { is: "at most", value: 0 } }),
    ...memory(
      "k8s-datastore",
      samples.map(({ datastore }) => datastore),
    ),
    ...memory(
      "k8sd",
      samples.map(({ k8sd }) => k8sd),
    ),
  ];
}

/** The first tenth is warm-up. */
function memory(name: string, values: readonly number[]): readonly Figure[] {
  const warm = values.slice(Math.floor(values.length / 10));
  const third = Math.max(1, Math.floor(warm.length / 3));
  const early = median(warm.slice(0, third));
  const late = median(warm.slice(-third));
  return [
    figure(`${name} resident, early`, early, "MiB"),
    figure(`${name} resident, late`, late, "MiB", { reference: early }),
    figure(`${name} resident, largest`, Math.max(...warm), "MiB", { goal: { is: "at most", value: 120 } }),
    figure(`${name} resident, late of early`, late / early, "", { goal: flat }),
  ];
}

async function sample(host: Host, samples: Sample[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    samples.push({ datastore: await resident(host, "k8s-k8s-datastore"), k8sd: await resident(host, "k8sd") });
    await new Promise((resolve) => setTimeout(resolve, sampleMs));
  }
}
