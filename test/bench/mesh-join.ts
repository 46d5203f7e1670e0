import {
  bootstrapAgent,
  createAgents,
  joinAgent,
  removeAgents,
  residentOfAgent,
  type TimedAnswer,
  tokenOfAgent,
} from "../agents.ts";
import type { Host } from "../hosts/types.ts";
import { createNodeNetwork } from "../node.ts";
import { type Staged, stage } from "../stage.ts";
import { quantile } from "./mesh-simulated.ts";
import { type Figure, figure } from "./result.ts";

/** One after the other; enough for a 95th percentile that is not the slowest. */
const single = 25;
const parallel = 50;
const controlPlanes = 4;

/** Joins of real daemons without Kubernetes, each on a host of its own in namespaces of this machine. */
export async function benchJoins(): Promise<readonly Figure[]> {
  const staged = await stage({ kubernetes: true });
  return [...(await workers(staged)), ...(await votingMembers(staged))];
}

async function workers(staged: Staged): Promise<readonly Figure[]> {
  return withAgents(staged, single + parallel + 1, async ([founder, ...others]) => {
    if (founder === undefined) throw new Error("no host was made");
    await bootstrapAgent(founder, { "disable-system-tuning": true, "cluster-config": { network: { enabled: true } } });
    const alone: TimedAnswer[] = [];
    for (const [index, host] of others.slice(0, single).entries()) {
      const token = await tokenOfAgent(founder, { name: "", worker: true });
      alone.push(await joinAgent(host, `one-${index}`, token));
    }
    const token = await tokenOfAgent(founder, { name: "", worker: true, uses: parallel });
    const began = performance.now();
    const together = await Promise.all(
      others.slice(single).map((host, index) => joinAgent(host, `many-${index}`, token)),
    );
    const wholeMs = performance.now() - began;
    const memory = await Promise.all(others.map(residentOfAgent));
    const failed = [...alone, ...together].filter(({ error }) => error !== "");
    for (const { error } of failed) console.error(error);
    const times = (answers: readonly TimedAnswer[]) => answers.map(({ ms }) => ms);
    return [
      figure("join of one worker, agent part, p50", quantile(times(alone), 0.5) / 1000, "s"),
      figure("join of one worker, agent part, p95", quantile(times(alone), 0.95) / 1000, "s", {
        goal: { is: "at most", value: 1 },
      }),
      figure(`${parallel} joins at once, p50`, quantile(times(together), 0.5) / 1000, "s"),
      figure(`${parallel} joins at once, p95`, quantile(times(together), 0.95) / 1000, "s"),
      figure(`${parallel} joins at once, until the last is in`, wholeMs / 1000, "s"),
      figure("joins that failed", failed.length, "", { goal: { is: "at most", value: 0 } }),
      figure("resident memory of a worker's daemon, p50", quantile(memory, 0.5), "MiB", {
        goal: { is: "at most", value: 120 },
      }),
      figure(`resident memory of the daemon that took in ${single + parallel}`, await residentOfAgent(founder), "MiB"),
    ];
  });
}

/** With etcd, which is started and brought up to date in the meantime: it is the larger part of the time. */
async function votingMembers(staged: Staged): Promise<readonly Figure[]> {
  return withAgents(staged, controlPlanes + 1, async ([founder, ...others]) => {
    if (founder === undefined) throw new Error("no host was made");
    await bootstrapAgent(founder, { "disable-system-tuning": true, "datastore-type": "etcd" });
    const times: number[] = [];
    for (const [index, host] of others.entries()) {
      const token = await tokenOfAgent(founder, { name: `c${index}`, worker: false });
      const { error, ms } = await joinAgent(host, `c${index}`, token);
      if (error !== "") throw new Error(error);
      times.push(ms);
    }
    return [
      figure("join of one control plane with etcd, p50", quantile(times, 0.5) / 1000, "s"),
      figure(`join of one control plane with etcd, slowest of ${controlPlanes}`, Math.max(...times) / 1000, "s"),
    ];
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
