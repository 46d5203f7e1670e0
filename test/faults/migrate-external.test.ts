import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bootstrap } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import type { Host } from "../hosts/types.ts";
import { contentHash, fill, isOn, migrate, migrates, write } from "../scenarios/migrate/engines.ts";
import {
  askedFor,
  hashAt,
  isAt,
  migrationBetween,
  type Place,
  placeOf,
  startTheirEtcd,
  type TheirEtcd,
} from "../scenarios/migrate/their-etcd.ts";
import { createPostgresNodes, type PostgresNodes } from "../scenarios/postgres/nodes.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "./points.ts";
import { interrupted, kill } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const directions: readonly (readonly [Place, Place])[] = [
  ["sqlite", "theirs"],
  ["theirs", "sqlite"],
  ["etcd", "theirs"],
  ["theirs", "etcd"],
  ["postgres", "theirs"],
  ["theirs", "postgres"],
];
const cases = directions.flatMap(([from, to]) => {
  const { steps, commit } = migrationBetween(from, to);
  return steps.map(({ kind }, step) => ({ kind, step, from, to, commit }));
});
const before = cases.filter(({ step, commit }) => step < commit);

describe.skipIf(reason !== undefined)("a migration to an etcd of somebody else and back, interrupted", () => {
  let nodes: PostgresNodes;
  let host: Host;
  let points: FaultPoints;
  let etcd: TheirEtcd;
  let place: Place = "sqlite";
  let content = "";

  beforeAll(async () => {
    nodes = await createPostgresNodes(1, ["--agent-only"], faultEnvironment);
    [host] = nodes.hosts as [Host];
    points = createFaultPoints(host);
    etcd = await startTheirEtcd(host);
    await bootstrap(host);
    await fill(host, 300);
    content = await contentHash(host);
  });
  afterEach(({ task }) => {
    if (task.result?.state === "fail") host.markFailed();
    return points.clear();
  });
  afterAll(async () => {
    await nodes?.[Symbol.asyncDispose]();
  });

  /** Their owner gives an empty one each time: what a cluster left in one stays there. */
  async function given(to: Place): Promise<string | undefined> {
    if (to === "postgres") return nodes.config();
    if (to !== "theirs") return undefined;
    await etcd.anew();
    return etcd.config();
  }

  async function startsOn(from: Place): Promise<void> {
    place = await placeOf(host);
    if (place === from) return;
    await migrates(host, askedFor(from), await given(from));
    place = from;
  }

  async function nothingIsLost(): Promise<void> {
    await isAt(host, place, etcd);
    expect(await hashAt(host, place, etcd)).toBe(content);
    await etcd.theirsIsUntouched();
  }

  test.each(cases)("in $kind from $from to $to by killing k8sd, is there or is taken back", async (each) => {
    const { step, from, to, commit } = each;
    await startsOn(from);
    const config = await given(to);
    // Nobody can be kept out of their etcd. What writes there is kube-apiserver, which is stopped first; here is none.
    const writing = from === "theirs" ? undefined : await write(host);
    const run = () => migrate(host, askedFor(to), config);
    await interrupted({ host, points, step, run, fault: () => kill(host, "k8sd") });
    if (step >= commit) place = to;
    await nothingIsLost();
    await writing?.ends(place === "theirs" ? etcd.etcdctl : undefined);
    // What was taken back is gone, and not in the way of the next attempt.
    if (to === "theirs" && step < commit) expect(await etcd.ours()).toBe(0);
  });

  test.each(before.filter(({ from, to }) => from !== "etcd" && to !== "etcd"))(
    "that fails in $kind from $from to $to is taken back, and works when it is tried again",
    async ({ step, from, to }) => {
      await startsOn(from);
      const config = await given(to);
      await points.fail(step, "after-run");
      const refused = await migrate(host, askedFor(to), config);
      expect(refused).toMatchObject({ exitCode: 1 });
      await points.clear();
      await nothingIsLost();
      await migrates(host, askedFor(to), config);
      place = to;
      await nothingIsLost();
    },
  );

  test("whose etcd goes away in the copy leaves the cluster where it is", async () => {
    await startsOn("sqlite");
    const config = await given("theirs");
    const { steps } = migrationBetween("sqlite", "theirs");
    const finish = steps.findIndex(({ kind }) => kind === "finish-copy");
    await points.hold(finish, "in-run");
    const running = migrate(host, "external", config);
    await points.reached(finish, "in-run");
    await host.run("systemctl", "kill", "-s", "KILL", "their-etcd");
    await points.clear();
    expect(await running).toMatchObject({ exitCode: 1 });
    await isOn(host, "sqlite");
    expect(await contentHash(host)).toBe(content);
  });
});
