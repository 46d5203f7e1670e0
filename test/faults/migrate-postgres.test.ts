import { describe, expect, test } from "vitest";
import { hostsUnavailable } from "../hosts/available.ts";
import { type Engine, migrates, migrationTo } from "../scenarios/migrate/engines.ts";
import { createPostgresNodes } from "../scenarios/postgres/nodes.ts";
import { createMover } from "./migrate-setup.ts";
import { faultEnvironment } from "./points.ts";
import { hit, victims } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const { steps, commit } = migrationTo("postgres");
const numbered = steps.map(({ kind }, step) => ({ kind, step }));
const directions = [
  { from: "sqlite", to: "external" },
  { from: "external", to: "sqlite" },
  { from: "etcd", to: "external" },
  { from: "external", to: "etcd" },
] as const;
const cases = numbered.flatMap((one) =>
  victims.flatMap((victim) => directions.map((direction) => ({ ...one, ...direction, victim }))),
);

describe.skipIf(reason !== undefined)("a migration to PostgreSQL and back, interrupted", () => {
  const mover = createMover(async () => {
    const nodes = await createPostgresNodes(1, ["--agent-only"], faultEnvironment);
    const [host] = nodes.hosts;
    if (host === undefined) throw new Error("the host was not made");
    return {
      host,
      postgres: nodes.postgres,
      /** One that was used stays as it is. */
      given: async (to: Engine) => (to === "external" ? await nodes.config() : undefined),
      [Symbol.asyncDispose]: () => nodes[Symbol.asyncDispose](),
    };
  });

  test.each(cases)(
    "in $kind from $from to $to by killing $victim, is there or is taken back",
    async ({ step, from, to, victim }) => {
      const fault = () => hit(mover.current().host, victim);
      const { config } = await mover.meets({ from, to, step, fault }, () => (step >= commit ? to : from));
      // What was taken back is not in the way of the next attempt.
      if (config === undefined || step >= commit) return;
      await migrates(mover.current().host, to, config);
      await mover.nothingIsLost(to);
    },
  );

  test.each(numbered)("whose database is killed in $kind ends, one way or the other", async ({ step }) => {
    const fault = () => mover.current().node.postgres.crash();
    await mover.meets({ from: "sqlite", to: "external", step, fault }, (ended) => {
      if (step >= commit) expect([ended?.exitCode, ended?.stderr]).toEqual([0, expect.anything()]);
      return ended?.exitCode === 0 ? "external" : "sqlite";
    });
  });
});
