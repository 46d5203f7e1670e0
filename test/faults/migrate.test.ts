import { describe, expect, test } from "vitest";
import { hostsUnavailable } from "../hosts/available.ts";
import { createNode } from "../node.ts";
import { migrate, migrationTo, other, write } from "../scenarios/migrate/engines.ts";
import { stagedForTests } from "../stage.ts";
import { createMover } from "./migrate-setup.ts";
import { faultEnvironment } from "./points.ts";
import { everything, hit, kill, victims } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** `npm test` kills the daemon around the point of no return; `pnpm test:faults` in each step, and cuts the power too. */
const around = ["finish-copy", "commit-engine"];
const engines = ["sqlite", "etcd"] as const;

const { steps, commit } = migrationTo("etcd");
const numbered = steps.map(({ kind }, step) => ({ kind, step }));
/** Those of `pnpm test:faults` alone. */
const all = everything ? numbered : [];
const both = all.flatMap((one) => engines.map((from) => ({ ...one, from })));

const cases = everything
  ? both.flatMap((one) => victims.map((victim) => ({ ...one, victim })))
  : numbered
      .filter(({ kind }) => around.includes(kind))
      .map((one) => ({ ...one, from: "sqlite" as const, victim: "k8sd" as const }));

describe.skipIf(reason !== undefined)("a migration of the datastore, interrupted", () => {
  const mover = createMover(async () => {
    const host = await createNode({ staged: await stagedForTests(), flags: ["--agent-only"], env: faultEnvironment });
    return { host, [Symbol.asyncDispose]: () => host[Symbol.asyncDispose]() };
  });

  test.each(cases)(
    "in $kind from $from by killing $victim, is there or is taken back",
    async ({ step, from, victim }) => {
      const fault = () => hit(mover.current().host, victim);
      await mover.meets({ from, to: other(from), step, fault }, () => (step >= commit ? other(from) : from));
    },
  );

  test.each(all.slice(0, commit))(
    "is taken back, although k8sd is killed when it takes back $kind",
    async ({ step }) => {
      const fault = () => hit(mover.current().host, "k8sd");
      const meeting = { from: "sqlite", to: "etcd", step, moment: "in-undo", failing: commit - 1, fault } as const;
      await mover.meets(meeting, () => "sqlite");
    },
  );

  test.each(both)("whose engines are killed in $kind from $from ends, one way or the other", async ({ step, from }) => {
    const fault = async () => {
      const { host } = mover.current();
      // One that is just being started again may be gone when its turn comes.
      for (const unit of ["k8s-etcd", "k8s-k8s-datastore"]) await kill(host, unit).catch(() => undefined);
    };
    await mover.meets({ from, to: other(from), step, fault }, (ended) => {
      if (step >= commit) expect([ended?.exitCode, ended?.stderr]).toEqual([0, expect.anything()]);
      return ended?.exitCode === 0 ? other(from) : from;
    });
  });

  test.each(all.slice(0, commit))(
    "that fails in $kind is taken back, and works when it is tried again",
    async ({ step }) => {
      await mover.startsOn("sqlite");
      const { host, points } = mover.current();
      const writing = await write(host);
      await points.fail(step, "after-run");
      expect(await migrate(host, "etcd")).toMatchObject({ exitCode: 1 });
      await points.clear();
      await mover.nothingIsLost("sqlite");
      await writing.ends();
      await mover.startsOn("etcd");
      await mover.nothingIsLost("etcd");
    },
  );
});
