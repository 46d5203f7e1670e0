import type { Host } from "./hosts/types.ts";

/** Runs `k8s` in the host; the exit code and both streams are for the test to judge. */
export function k8s(host: Host, argv: readonly string[], options: { stdin?: string; timeoutMs?: number } = {}) {
  return host.tryRun(["k8s", ...argv], { timeoutMs: 300_000, ...options });
}

/** Bootstraps and fails the test with all that was printed when that does not work. */
export async function bootstrap(host: Host, config?: string, address = host.address): Promise<void> {
  const file = config === undefined ? [] : ["--file", "-"];
  const result = await k8s(host, ["bootstrap", "--address", address, "--timeout", "180s", ...file], {
    ...(config === undefined ? {} : { stdin: config }),
  });
  if (result.exitCode !== 0) throw new Error(`${result.stderr}\n${tail(await host.journal("k8sd"))}`);
}

const tail = (log: string): string => log.split("\n").slice(-20).join("\n");

/** Waits until every condition of the node holds. */
export async function becomesReady(host: Host, timeout = "60s"): Promise<void> {
  const result = await k8s(host, ["status", "--wait-ready", "--timeout", timeout]);
  const told = `${result.exitCode}\n${result.stdout}${result.stderr}`;
  if (!/^0\ncluster status: +ready\n/.test(told)) throw new Error(`${told}\n${tail(await host.journal("k8sd"))}`);
}

/** Runs kubectl against the host's cluster. */
export async function kubectl(host: Host, ...argv: string[]): Promise<string> {
  return (await host.run("k8s", "kubectl", ...argv)).stdout;
}

/** Everything of the daemon's own that stays by right: its state and its flags; and the tests' own fault points. */
export const daemonState = /\/var\/snap\/k8s\/common\/(var\/lib\/k8sd|args\/k8sd)|\/var\/tmp\/fault-points/;
