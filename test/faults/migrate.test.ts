import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bootstrap } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import type { Host } from "../hosts/types.ts";
import { createNode, waitForDaemon } from "../node.ts";
import {
  contentHash,
  type Engine,
  fill,
  isOn,
  migrate,
  migrates,
  migrationTo,
  other,
  write,
} from "../scenarios/migrate/engines.ts";
import { stagedForTests } from "../stage.ts";
import { kill } from "./join-setup.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "./points.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** `npm test` kills the daemon around the point of no return; `pnpm test:faults` in each step, and cuts the power too. */
const everything = process.env.K8SD_FAULTS !== "main";
const around = ["finish-copy", "commit-engine"];

const { steps, commit } = migrationTo("etcd");

const cases = steps.flatMap(({ kind }, step) =>
  everything
    ? (["sqlite", "etcd"] as const).flatMap((from) => [
        { kind, step, from, victim: "k8sd" as const },
        { kind, step, from, victim: "the power" as const },
      ])
    : around.includes(kind)
      ? [{ kind, step, from: "sqlite" as const, victim: "k8sd" as const }]
      : [],
);

describe.skipIf(reason !== undefined)("a migration of the datastore, interrupted", () => {
  let host: Host;
  let points: FaultPoints;
  let engine: Engine = "sqlite";
  let content = "";

  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests(), flags: ["--agent-only"], env: faultEnvironment });
    points = createFaultPoints(host);
    await bootstrap(host);
    await fill(host, 300);
    content = await contentHash(host);
  });
  afterEach(() => points.clear());
  afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  async function startsOn(from: Engine): Promise<void> {
    if (engine !== from) await migrates(host, from);
    engine = from;
  }

  async function nothingIsLost(): Promise<void> {
    await isOn(host, engine);
    expect(await contentHash(host)).toBe(content);
  }

  test.each(cases)(
    "in $kind from $from by killing $victim, is there or is taken back",
    async ({ step, from, victim }) => {
      await startsOn(from);
      const writing = await write(host);
      await points.hold(step, "in-run");
      const running = migrate(host, other(from)).catch(() => undefined);
      await points.reached(step, "in-run");
      if (victim === "k8sd") {
        await kill(host, "k8sd");
      } else {
        await host.cutPower();
        await host.boot();
      }
      await points.clear();
      await waitForDaemon(host);
      await running;
      if (step >= commit) engine = other(from);
      await nothingIsLost();
      await writing.ends();
    },
  );

  test.each(everything ? steps.slice(0, commit).map(({ kind }, step) => ({ kind, step })) : [])(
    "is taken back, although k8sd is killed when it takes back $kind",
    async ({ step }) => {
      await startsOn("sqlite");
      const writing = await write(host);
      await points.fail(commit - 1, "after-run");
      await points.hold(step, "in-undo");
      const running = migrate(host, "etcd").catch(() => undefined);
      await points.reached(step, "in-undo");
      await kill(host, "k8sd");
      await points.clear();
      await waitForDaemon(host);
      await running;
      await nothingIsLost();
      await writing.ends();
    },
  );

  test.each(
    everything
      ? steps.flatMap(({ kind }, step) => (["sqlite", "etcd"] as const).map((from) => ({ kind, step, from })))
      : [],
  )("whose engines are killed in $kind from $from ends, one way or the other", async ({ step, from }) => {
    await startsOn(from);
    const writing = await write(host);
    await points.hold(step, "in-run");
    const running = migrate(host, other(from));
    await points.reached(step, "in-run");
    // One that is just being started again may be gone when its turn comes.
    for (const unit of ["k8s-etcd", "k8s-k8s-datastore"]) await kill(host, unit).catch(() => undefined);
    await points.clear();
    const { exitCode, stderr } = await running;
    if (step >= commit) expect([exitCode, stderr]).toEqual([0, expect.anything()]);
    if (exitCode === 0) engine = other(from);
    await nothingIsLost();
    await writing.ends();
  });

  test.each(everything ? steps.slice(0, commit).map(({ kind }, step) => ({ kind, step })) : [])(
    "that fails in $kind is taken back, and works when it is tried again",
    async ({ step }) => {
      await startsOn("sqlite");
      const writing = await write(host);
      await points.fail(step, "after-run");
      expect(await migrate(host, "etcd")).toMatchObject({ exitCode: 1 });
      await points.clear();
      await nothingIsLost();
      await writing.ends();
      await startsOn("etcd");
      await nothingIsLost();
    },
  );
});
