import type { OperationEvent } from "@k8sd/api-types";
import { becomesReady, k8s } from "../expect-node.ts";
import type { Host } from "../hosts/types.ts";
import { callDaemon, createNode } from "../node.ts";
import { stage } from "../stage.ts";
import { resident } from "./resident.ts";
import { type Figure, figure, median } from "./result.ts";

const rounds = 3;
const cliRounds = 15;

interface Round {
  readonly wholeMs: number;
  readonly agentMs: number;
  readonly readyMs: number;
  readonly residentMiB: { readonly k8sd: number; readonly datastore: number };
  readonly cliMs: { readonly help: number; readonly status: number; readonly node: number };
}

/** Time and memory of a bootstrap with programs and images at hand. */
export async function benchBootstrap(): Promise<readonly Figure[]> {
  const staged = await stage({ kubernetes: true });
  const measured: Round[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await using host = await createNode({ staged });
    measured.push(await measure(host));
  }
  const of = (pick: (round: Round) => number): number => median(measured.map(pick));
  const node = of((round) => round.cliMs.node);
  return [
    figure("bootstrap, agent part", of((round) => round.agentMs) / 1000, "s", { goal: { is: "at most", value: 1 } }),
    figure("bootstrap, whole command", of((round) => round.wholeMs) / 1000, "s"),
    figure("bootstrap to Node Ready", of((round) => round.readyMs) / 1000, "s", { goal: { is: "at most", value: 15 } }),
    figure(
      "k8sd resident",
      of((round) => round.residentMiB.k8sd),
      "MiB",
      { goal: { is: "at most", value: 120 } },
    ),
    figure(
      "k8s-datastore resident",
      of((round) => round.residentMiB.datastore),
      "MiB",
      { goal: { is: "at most", value: 120 } },
    ),
    figure("node, empty program", node, "ms"),
    figure(
      "k8s --help",
      of((round) => round.cliMs.help),
      "ms",
      { goal: { is: "at most", value: 60 }, reference: node },
    ),
    figure(
      "k8s status",
      of((round) => round.cliMs.status),
      "ms",
      { goal: { is: "at most", value: 120 }, reference: node },
    ),
  ];
}

async function measure(host: Host): Promise<Round> {
  const start = performance.now();
  const result = await k8s(host, ["bootstrap", "--address", host.address, "--timeout", "180s"]);
  const wholeMs = performance.now() - start;
  if (result.exitCode !== 0) throw new Error(result.stderr);
  await becomesReady(host);
  const readyMs = performance.now() - start;
  const waitingMs = await timeOfUpstream(host);
  const node = "/snap/k8s/current/bin/node";
  return {
    wholeMs,
    agentMs: wholeMs - waitingMs,
    readyMs,
    cliMs: {
      help: await timeInHost(host, ["k8s", "--help"]),
      status: await timeInHost(host, ["k8s", "status"]),
      node: await timeInHost(host, [node, "-e", ""]),
    },
    residentMiB: { k8sd: await resident(host, "k8sd"), datastore: await resident(host, "k8s-k8s-datastore") },
  };
}

/** Steps in which upstream programs start; everything else of a bootstrap is the agent's. */
async function timeOfUpstream(host: Host): Promise<number> {
  const { metadata: list } = await callDaemon(host, "GET", "/1.0/k8sd/operations");
  const [operation] = (list as { operations: { id: string }[] }).operations;
  const { metadata } = await callDaemon(host, "GET", `/1.0/k8sd/operations/${operation?.id}`);
  const { events } = metadata as { events: OperationEvent[] };
  const upstream = events.filter(
    ({ title, state }) =>
      state === "done" && /kube|containerd|images/.test(title) && /^(Start|Wait|Import)/.test(title),
  );
  if (upstream.length === 0) throw new Error("the operation tells nothing of its steps");
  return upstream.reduce((sum, { elapsedMs }) => sum + elapsedMs, 0);
}

/** Median time of a command as a shell in the host sees it, without the way into the host. */
async function timeInHost(host: Host, argv: readonly string[]): Promise<number> {
  const script = `for i in $(seq ${cliRounds}); do s=$(date +%s%N); "$@" >/dev/null; e=$(date +%s%N); echo $(( (e - s) / 1000 )); done`;
  const { stdout } = await host.run("sh", "-c", script, "time", ...argv);
  return median(stdout.trim().split("\n").map(Number)) / 1000;
}
