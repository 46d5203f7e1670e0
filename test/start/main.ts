import { parseArgs } from "node:util";
import { hostsUnavailable } from "../hosts/available.ts";
import { findHost } from "../hosts/host.ts";
import type { Host } from "../hosts/types.ts";
import { createNode, daemonFlagsFile } from "../node.ts";
import { phase } from "../run/phase.ts";
import { stage } from "../stage.ts";
import { runPageJob } from "./page-job.ts";

/** `npm start`: a real node on this machine, in a test host that stays until it is stopped. */
const hostName = "k8s-node";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { "agent-only": { type: "boolean", default: false } },
});
const kubernetes = !values["agent-only"];

async function stop(): Promise<void> {
  const host = await findHost(hostName);
  if (host === undefined) console.log("Nothing to stop: there is no test host.");
  else await phase("Remove the test host", () => host.destroy());
}

async function start(): Promise<void> {
  const began = performance.now();
  const missing = hostsUnavailable();
  if (missing !== undefined) {
    console.error(`cannot start: ${missing}`);
    process.exitCode = 1;
    return;
  }
  const staged = await phase("Programs and images", () => stage({ kubernetes }));
  const host = await phase("Test host with k8sd", () => reuseOrCreate(staged));
  await phase("k8s bootstrap", () => bootstrap(host));
  await phase("Wait until the node is ready", () =>
    host.tryRun(["k8s", "status", "--wait-ready", "--timeout", "120s"], { timeoutMs: 130_000 }).then(succeed),
  );
  if (kubernetes) await phase("Run a pod and fetch a page from it", () => runPageJob(host));
  const { stdout } = await host.run("k8s", "status");
  console.log(`\n${stdout}`);
  console.log(usage(host));
  console.error(`== Done in ${((performance.now() - began) / 1000).toFixed(1)} s`);
}

async function reuseOrCreate(staged: Awaited<ReturnType<typeof stage>>): Promise<Host> {
  const existing = await findHost(hostName);
  if (existing?.isOn === true && (await isOfThisKind(existing))) return existing;
  await existing?.destroy();
  return createNode({ name: hostName, persistent: true, staged, flags: kubernetes ? [] : ["--agent-only"] });
}

/** An agent-only node does not become a whole one, nor the other way round: it is made anew. */
async function isOfThisKind(host: Host): Promise<boolean> {
  const flags = await host.readFile(daemonFlagsFile);
  return flags.includes("--agent-only") !== kubernetes;
}

async function bootstrap(host: Host): Promise<void> {
  const known = await host.tryRun(["k8s", "local-node-status"]);
  if (known.exitCode === 0) {
    console.error("   the node is bootstrapped already");
    return;
  }
  const result = await host.tryRun(["k8s", "bootstrap", "--address", host.address, "--timeout", "180s"], {
    timeoutMs: 240_000,
  });
  console.error(result.stderr.trimEnd());
  if (result.exitCode !== 0) throw new Error("the node was not bootstrapped; why stands above");
  console.log(result.stdout.trimEnd());
}

function succeed(result: { readonly exitCode: number; readonly stdout: string; readonly stderr: string }): void {
  if (result.exitCode !== 0) throw new Error(result.stderr.trimEnd() || result.stdout.trimEnd());
}

function usage(host: Host): string {
  const kubectl = kubernetes ? `  ${host.enter} k8s kubectl get pods -A\n` : "";
  return [
    "The node runs in a test host of its own. As root:",
    `  ${host.enter}`,
    `  ${host.enter} k8s status`,
    `${kubectl}  npm start -- stop`,
  ].join("\n");
}

try {
  await (positionals[0] === "stop" ? stop() : start());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
