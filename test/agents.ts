import { expect } from "vitest";
import { createHost } from "./hosts/host.ts";
import { makeRoomForNeighbours } from "./hosts/neighbours.ts";
import type { Network } from "./hosts/network.ts";
import type { Host } from "./hosts/types.ts";
import { callDaemon, daemonSocket, waitForDaemon } from "./node.ts";
import type { Staged } from "./stage.ts";

export const agentLog = "/var/log/k8sd.log";

export interface AgentsOptions {
  readonly staged: Staged;
  readonly network: Network;
  readonly count: number;
}

/** Hosts with nothing but k8sd, without Kubernetes and without systemd: many of them fit on one machine. */
export async function createAgents({ staged, network, count }: AgentsOptions): Promise<readonly Host[]> {
  makeRoomForNeighbours(count);
  const hosts: Host[] = [];
  const one = async (): Promise<void> => {
    const host = await createHost({
      network,
      systemd: false,
      usrLayers: staged.usrLayers,
      binds: [{ from: staged.snap, to: "/snap/k8s/current", readOnly: true }],
    });
    hosts.push(host);
    await startAgent(host);
  };
  try {
    // A few at a time: what starts them all at once measures the machine's patience.
    for (let made = 0; made < count; made += 5) {
      await Promise.all(Array.from({ length: Math.min(5, count - made) }, one));
    }
    return hosts;
  } catch (error) {
    await removeAgents(hosts);
    throw error;
  }
}

export async function removeAgents(hosts: readonly Host[]): Promise<void> {
  await Promise.all(hosts.map((host) => host[Symbol.asyncDispose]()));
}

/** Started as a script would do it; it lives on when the command ends. @returns its process id */
export async function startAgent(host: Host): Promise<string> {
  const command = "k8sd --service-manager supervisor --agent-only";
  const { stdout } = await host.run("sh", "-c", `setsid ${command} >>${agentLog} 2>&1 </dev/null & echo $!`);
  await waitForDaemon(host).catch(async (error: unknown) => {
    throw new Error(await host.readFile(agentLog), { cause: error });
  });
  return stdout.trim();
}

export interface TimedAnswer {
  readonly error: string;
  readonly ms: number;
}

/** A join as the command asks for it; the time is that of the request alone, without the command's own start. */
export async function joinAgent(host: Host, name: string, token: string): Promise<TimedAnswer> {
  const body = JSON.stringify({ name, address: `${host.address}:6400`, token, config: "", timeout: 100e9 });
  const { stdout } = await host.run(
    ...["curl", "-sS", "--max-time", "110", "--unix-socket", daemonSocket, "-X", "POST", "-d", body],
    ...["-w", "\\n%{time_total}", "http://localhost/1.0/k8sd/cluster/join"],
  );
  const lines = stdout.trimEnd().split("\n");
  const [answer = "", seconds] = [lines[0], lines.at(-1)];
  const { error } = JSON.parse(answer) as { error: string };
  return { error, ms: Number(seconds) * 1000 };
}

export async function tokenOfAgent(host: Host, request: object): Promise<string> {
  const { error, metadata } = await callDaemon(host, "POST", "/1.0/k8sd/cluster/tokens", request);
  expect(error).toBe("");
  return (metadata as { token: string }).token;
}

export async function bootstrapAgent(host: Host, config: object): Promise<void> {
  const request = { name: "founder", address: `${host.address}:6400`, config };
  const { error } = await callDaemon(host, "POST", "/1.0/k8sd/cluster", request);
  expect(error).toBe("");
}

/** Resident memory of the daemon, in MiB. */
export async function residentOfAgent(host: Host): Promise<number> {
  const { stdout } = await host.run(...["sh", "-c", "cat /proc/$(pgrep -o -f 'k8sd.js --service-manager')/status"]);
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(stdout)?.[1];
  if (kib === undefined) throw new Error("cannot read the memory of k8sd");
  return Number(kib) / 1024;
}
