import { benchJoins } from "./mesh-join.ts";
import { realMesh } from "./mesh-real.ts";
import { detect, idleBytes, quantile, spread, starve } from "./mesh-simulated.ts";
import { type Figure, figure } from "./result.ts";

/**
 * What others take to call a node dead, in seconds: memberlist's default for LANs waits at least this long at a size
 * (suspicion of 4 × log10 n probe intervals; up to six times as long, and a probe before it), LXD's heartbeat threshold.
 */
const memberlistSeconds = { 100: 8, 1000: 12 } as const;
const lxdSeconds = 20;

/** The protocols on virtual time with simulated networks, then a few real nodes on the loopback of this machine, and joins of real daemons. */
export async function benchMesh(): Promise<readonly Figure[]> {
  return [
    ...detection(100, 40),
    ...detection(1000, 1),
    ...starvation(),
    ...spreading(),
    ...traffic(),
    ...(await realMesh()),
    ...(await benchJoins()),
  ];
}

function detection(nodes: 100 | 1000, runs: number): readonly Figure[] {
  const { firstMs, eachMs, falsePositives } = detect(nodes, runs);
  const seconds = (share: number): number => quantile(eachMs, share) / 1000;
  const goal = (value: number) => (nodes === 100 ? { goal: { is: "at most", value } as const } : {});
  const name = `detection at ${nodes} nodes`;
  return [
    figure(`${name}, all know, p50 (reference: memberlist, at least)`, seconds(0.5), "s", {
      ...goal(3),
      reference: memberlistSeconds[nodes],
    }),
    figure(`${name}, all know, p99 (reference: LXD)`, seconds(0.99), "s", { ...goal(6), reference: lxdSeconds }),
    figure(`${name}, the first knows, p50`, quantile(firstMs, 0.5) / 1000, "s"),
    figure(`${name}, false verdicts`, falsePositives, "", { goal: { is: "at most", value: 0 } }),
  ];
}

function starvation(): readonly Figure[] {
  return [0, 0.1, 0.25].flatMap((share) => {
    const { healthy, starved } = starve(100, share, 60);
    const name = `false verdicts in 60 s, 100 nodes, ${share * 100} % starved`;
    const goal = share <= 0.1 ? { goal: { is: "at most", value: 0 } as const } : {};
    return [
      figure(`${name}, on healthy nodes`, healthy, "", { goal: { is: "at most", value: 0 } }),
      ...(share === 0 ? [] : [figure(`${name}, on starved ones`, starved, "", goal)]),
    ];
  });
}

function spreading(): readonly Figure[] {
  return ([100, 1000] as const).flatMap((nodes) => {
    const times = spread(nodes, nodes === 100 ? 40 : 6, 0.1);
    const name = `ledger change on all of ${nodes} nodes, 10 % loss`;
    return [
      figure(`${name}, p50`, quantile(times, 0.5) / 1000, "s"),
      figure(`${name}, p99`, quantile(times, 0.99) / 1000, "s", { goal: { is: "at most", value: 2 } }),
    ];
  });
}

function traffic(): readonly Figure[] {
  return ([100, 1000] as const).map((nodes) =>
    figure(`bytes sent per node and second, ${nodes} nodes, idle`, idleBytes(nodes, 10), ""),
  );
}
