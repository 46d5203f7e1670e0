import { setTimeout } from "node:timers/promises";
import type { MeshStatus } from "@k8sd/api-types";
import { bootstrapAgent, createAgents, joinAgent, removeAgents, residentOfAgent, tokenOfAgent } from "../agents.ts";
import type { Host } from "../hosts/types.ts";
import { callDaemon, createNodeNetwork } from "../node.ts";
import { type Staged, stage } from "../stage.ts";
import { quantile } from "./mesh-simulated.ts";
import { type Figure, figure } from "./result.ts";

/** One after the other; enough for a 95th percentile that is not the slowest. */
const single = 25;
/** To a cluster of so many daemons, so many come at once. */
const daemons = 10;
const parallel = 50;
const controlPlanes = 4;
/** Workers that come with many others open their mesh within a minute, and all of them share the processors of one machine. */
const meshDeadlineMs = 300_000;
const pollMs = 5_000;

/** Joins of real daemons without Kubernetes, each on a host of its own in namespaces of this machine. */
export async function benchJoins(): Promise<readonly Figure[]> {
  const staged = await stage({ kubernetes: true });
  return [...(await oneByOne(staged)), ...(await atOnce(staged)), ...(await votingMembers(staged))];
}

async function oneByOne(staged: Staged): Promise<readonly Figure[]> {
  return withWorkers(staged, single, async (founder, hosts) => {
    const times = await joinEach(founder, hosts);
    await untilAllAlive(founder);
    const memory = await Promise.all(hosts.map(residentOfAgent));
    return [
      figure("join of one worker, agent part, p50", quantile(times, 0.5) / 1000, "s"),
      figure("join of one worker, agent part, p95", quantile(times, 0.95) / 1000, "s", {
        goal: { is: "at most", value: 1 },
      }),
      figure(`resident memory of a worker's daemon, one of ${single}, p50`, quantile(memory, 0.5), "MiB", {
        goal: { is: "at most", value: 120 },
      }),
    ];
  });
}

async function atOnce(staged: Staged): Promise<readonly Figure[]> {
  const before = daemons - 1;
  return withWorkers(staged, before + parallel, async (founder, hosts) => {
    await joinEach(founder, hosts.slice(0, before));
    await untilAllAlive(founder);
    const token = await tokenOfAgent(founder, { name: "", worker: true, uses: parallel });
    const began = performance.now();
    const answers = await Promise.all(
      hosts.slice(before).map((host, index) => joinAgent(host, `many-${index}`, token)),
    );
    const wholeMs = performance.now() - began;
    const failed = answers.filter(({ error }) => error !== "");
    for (const { error } of failed) console.error(error);
    const times = answers.map(({ ms }) => ms);
    const name = `${parallel} joins at once to ${daemons} daemons`;
    await untilAllAlive(founder);
    const meshMs = performance.now() - began;
    const memory = await Promise.all(hosts.map(residentOfAgent));
    return [
      figure(`${name}, p50`, quantile(times, 0.5) / 1000, "s"),
      figure(`${name}, p95`, quantile(times, 0.95) / 1000, "s"),
      figure(`${name}, until the last is in`, wholeMs / 1000, "s"),
      figure(`${name}, that failed`, failed.length, "", { goal: { is: "at most", value: 0 } }),
      figure(`${name}, until all are alive in the mesh`, meshMs / 1000, "s"),
      figure(`resident memory of a worker's daemon, one of ${hosts.length}, p50`, quantile(memory, 0.5), "MiB"),
      figure("resident memory of the daemon that took them in", await residentOfAgent(founder), "MiB"),
    ];
  });
}

/** @returns how long each took, in milliseconds */
async function joinEach(founder: Host, hosts: readonly Host[], worker = true): Promise<readonly number[]> {
  const times: number[] = [];
  for (const [index, host] of hosts.entries()) {
    const name = `one-${index}`;
    const token = await tokenOfAgent(founder, { name, worker });
    const { error, ms } = await joinAgent(host, name, token);
    if (error !== "") throw new Error(error);
    times.push(ms);
  }
  return times;
}

/** As the founder sees them. */
async function untilAllAlive(founder: Host): Promise<void> {
  for (const deadline = performance.now() + meshDeadlineMs; ; await setTimeout(pollMs)) {
    const { metadata } = await callDaemon(founder, "GET", "/1.0/k8sd/mesh");
    const { running, peers } = metadata as MeshStatus;
    if (running && peers.every(({ state }) => state === "alive")) return;
    if (performance.now() > deadline) throw new Error("cannot measure: not all nodes are alive in the mesh");
  }
}

/** With etcd, which is started and brought up to date in the meantime: it is the larger part of the time. */
async function votingMembers(staged: Staged): Promise<readonly Figure[]> {
  return withAgents(staged, controlPlanes + 1, async ([founder, ...others]) => {
    if (founder === undefined) throw new Error("no host was made");
    await bootstrapAgent(founder, { "disable-system-tuning": true, "datastore-type": "etcd" });
    const times = await joinEach(founder, others, false);
    return [
      figure("join of one control plane with etcd, p50", quantile(times, 0.5) / 1000, "s"),
      figure(`join of one control plane with etcd, slowest of ${controlPlanes}`, Math.max(...times) / 1000, "s"),
    ];
  });
}

async function withWorkers<T>(
  staged: Staged,
  count: number,
  work: (founder: Host, hosts: readonly Host[]) => Promise<T>,
): Promise<T> {
  return withAgents(staged, count + 1, async ([founder, ...hosts]) => {
    if (founder === undefined) throw new Error("no host was made");
    await bootstrapAgent(founder, { "disable-system-tuning": true, "cluster-config": { network: { enabled: true } } });
    return work(founder, hosts);
  });
}

async function withAgents<T>(staged: Staged, count: number, work: (hosts: readonly Host[]) => Promise<T>): Promise<T> {
  await using network = await createNodeNetwork(staged);
  const hosts = await createAgents({ staged, network, count });
  try {
    return await work(hosts);
  } finally {
    await removeAgents(hosts);
  }
}
