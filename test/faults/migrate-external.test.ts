import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bootstrap } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import type { Host } from "../hosts/types.ts";
import { createNode } from "../node.ts";
import { contentHash, fill, isOn, migrate, migrates, report, write } from "../scenarios/migrate/engines.ts";
import {
  hashAt,
  isAt,
  migrationBetween,
  type Place,
  startTheirEtcd,
  type TheirEtcd,
} from "../scenarios/migrate/their-etcd.ts";
import { stagedForTests } from "../stage.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "./points.ts";
import { interrupted, kill } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const directions: readonly (readonly [Place, Place])[] = [
  ["sqlite", "theirs"],
  ["theirs", "sqlite"],
  ["etcd", "theirs"],
  ["theirs", "etcd"],
];
const cases = directions.flatMap(([from, to]) => {
  const { steps, commit } = migrationBetween(from, to);
  return steps.map(({ kind }, step) => ({ kind, step, from, to, commit }));
});
const before = cases.filter(({ step, commit }) => step < commit);

describe.skipIf(reason !== undefined)("a migration to an etcd of somebody else and back, interrupted", () => {
  let host: Host;
  let points: FaultPoints;
  let etcd: TheirEtcd;
  let place: Place = "sqlite";
  let content = "";

  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests(), flags: ["--agent-only"], env: faultEnvironment });
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
    await host?.[Symbol.asyncDispose]();
  });

  /** Their owner gives an empty one each time: what a cluster left in one stays there. */
  async function moves(to: Place): Promise<void> {
    if (to === "theirs") await etcd.anew();
    await migrates(host, to === "theirs" ? "external" : to, given(to));
    place = to;
  }

  const given = (to: Place): string | undefined => (to === "theirs" ? etcd.config() : undefined);

  async function startsOn(from: Place): Promise<void> {
    const { engine } = await report(host);
    place = engine === "external" ? "theirs" : (engine as Place);
    if (place === from) return;
    // From theirs to theirs there is no way; from one engine of ours to the other there is.
    await moves(from);
  }

  async function nothingIsLost(): Promise<void> {
    await isAt(host, place, etcd);
    expect(await hashAt(host, place, etcd)).toBe(content);
    await etcd.theirsIsUntouched();
  }

  test.each(cases)("in $kind from $from to $to by killing k8sd, is there or is taken back", async (each) => {
    const { step, from, to, commit } = each;
    await startsOn(from);
    if (to === "theirs") await etcd.anew();
    // Nobody can be kept out of their etcd. What writes there is kube-apiserver, which is stopped first; here is none.
    const writing = from === "theirs" ? undefined : await write(host);
    const run = () => migrate(host, to === "theirs" ? "external" : to, given(to));
    await interrupted({ host, points, step, run, fault: () => kill(host, "k8sd") });
    if (step >= commit) place = to;
    await nothingIsLost();
    await writing?.ends(place === "theirs" ? etcd.etcdctl : undefined);
    // What was taken back is gone, and not in the way of the next attempt.
    if (to === "theirs" && step < commit) expect(await etcd.ours()).toBe(0);
  });

  test.each(before.filter(({ from, to }) => from === "sqlite" || to === "sqlite"))(
    "that fails in $kind from $from to $to is taken back, and works when it is tried again",
    async ({ step, from, to }) => {
      await startsOn(from);
      if (to === "theirs") await etcd.anew();
      await points.fail(step, "after-run");
      const refused = await migrate(host, to === "theirs" ? "external" : to, given(to));
      expect(refused).toMatchObject({ exitCode: 1 });
      await points.clear();
      await nothingIsLost();
      await migrates(host, to === "theirs" ? "external" : to, given(to));
      place = to;
      await nothingIsLost();
    },
  );

  test("whose etcd goes away in the copy leaves the cluster where it is", async () => {
    await startsOn("sqlite");
    await etcd.anew();
    const { steps } = migrationBetween("sqlite", "theirs");
    const finish = steps.findIndex(({ kind }) => kind === "finish-copy");
    await points.hold(finish, "in-run");
    const running = migrate(host, "external", etcd.config());
    await points.reached(finish, "in-run");
    await host.run("systemctl", "kill", "-s", "KILL", "their-etcd");
    await points.clear();
    expect(await running).toMatchObject({ exitCode: 1 });
    await isOn(host, "sqlite");
    expect(await contentHash(host)).toBe(content);
  });
});
