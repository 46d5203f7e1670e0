import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bootstrap } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import type { Host } from "../hosts/types.ts";
import { waitForDaemon } from "../node.ts";
import {
  contentHash,
  type Engine,
  fill,
  isOn,
  migrate,
  migrates,
  migrationTo,
  report,
  write,
} from "../scenarios/migrate/engines.ts";
import { createPostgresNodes, type PostgresNodes } from "../scenarios/postgres/nodes.ts";
import { kill } from "./join-setup.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "./points.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const { steps, commit } = migrationTo("postgres");
const cases = steps.flatMap(({ kind }, step) =>
  (["k8sd", "the power"] as const).flatMap((victim) => [
    { kind, step, victim, from: "sqlite" as const, to: "external" as const },
    { kind, step, victim, from: "external" as const, to: "sqlite" as const },
  ]),
);

describe.skipIf(reason !== undefined)("a migration to PostgreSQL and back, interrupted", () => {
  let nodes: PostgresNodes;
  let points: FaultPoints;
  let engine: Engine = "sqlite";
  let content = "";
  const host = (): Host => {
    const [first] = nodes.hosts;
    if (first === undefined) throw new Error("the host was not made");
    return first;
  };

  beforeAll(async () => {
    nodes = await createPostgresNodes(1, ["--agent-only"], faultEnvironment);
    points = createFaultPoints(host());
    await bootstrap(host());
    await fill(host(), 300);
    content = await contentHash(host());
  });
  afterEach(() => points.clear());
  afterAll(() => nodes?.[Symbol.asyncDispose]());

  /** A database of its own each time: one that was used stays as it is. */
  const given = async (to: Engine) => (to === "external" ? await nodes.config() : undefined);

  async function startsOn(from: Engine): Promise<void> {
    engine = (await report(host())).engine as Engine;
    if (engine !== from) await migrates(host(), from, await given(from));
    engine = from;
  }

  async function nothingIsLost(): Promise<void> {
    await isOn(host(), engine);
    expect(await contentHash(host())).toBe(content);
  }

  test.each(cases)(
    "in $kind from $from by killing $victim, is there or is taken back",
    async ({ step, from, to, victim }) => {
      await startsOn(from);
      const writing = await write(host());
      await points.hold(step, "in-run");
      const config = await given(to);
      const running = migrate(host(), to, config).catch(() => undefined);
      await points.reached(step, "in-run");
      if (victim === "k8sd") {
        await kill(host(), "k8sd");
      } else {
        await host().cutPower();
        await points.clear();
        await host().boot();
      }
      await points.clear();
      await waitForDaemon(host());
      await running;
      if (step >= commit) engine = to;
      await nothingIsLost();
      await writing.ends();
      // What was taken back is not in the way of the next attempt.
      if (config === undefined || step >= commit) return;
      await migrates(host(), to, config);
      engine = to;
      await nothingIsLost();
    },
  );

  test.each(steps.map(({ kind }, step) => ({ kind, step })))(
    "whose database is killed in $kind ends, one way or the other",
    async ({ step }) => {
      await startsOn("sqlite");
      const writing = await write(host());
      await points.hold(step, "in-run");
      const running = migrate(host(), "external", await given("external"));
      await points.reached(step, "in-run");
      await nodes.postgres.crash();
      await points.clear();
      const { exitCode, stderr } = await running;
      if (step >= commit) expect([exitCode, stderr]).toEqual([0, expect.anything()]);
      if (exitCode === 0) engine = "external";
      await nothingIsLost();
      await writing.ends();
    },
  );
});
