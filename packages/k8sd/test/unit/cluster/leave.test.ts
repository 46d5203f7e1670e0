import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { createLeaveExecutors, type LeaveDeps } from "../../../src/cluster/leave/executors.ts";
import type { StepContext } from "../../../src/operations/plan.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

/** Leaves by force a cluster whose answers to "am I still in?" are these; the last one stands. */
async function leaveByForce(engine: "etcd" | "sqlite", states: string[], announce: LeaveDeps["announce"]) {
  const base = aBootstrapInput({ kubernetes: false });
  const view = { ...base, view: { ...base.view, datastore: { ...base.view.datastore, engine } } };
  const notes: string[] = [];
  let asked = 0;
  const deps = {
    identity: { read: () => ({ id: "id", clusterId: "c", view }) },
    log: pino({ level: "silent" }),
    announce,
    link: async () => ({
      standing: async () => {
        asked += 1;
        return { state: states.length > 1 ? states.shift() : states[0], incarnation: 1, epoch: 1 };
      },
    }),
  } as unknown as LeaveDeps;
  const context = {
    input: { name: "n1", cluster: "tells" },
    signal: AbortSignal.timeout(20_000),
    progress: ({ note = "" }) => notes.push(note),
  } as unknown as StepContext;
  const step = { kind: "tell-cluster", title: "", args: null } as const;
  await createLeaveExecutors(deps, { voteMs: 1_500 })["tell-cluster"].run(step, context);
  return { notes, asked, states };
}

describe("a control plane that leaves by force", () => {
  test("keeps its vote in etcd until the others have taken it out, and asks nobody's Pods to go first", async () => {
    const orders: unknown[] = [];
    const seen = await leaveByForce("etcd", ["leaving", "leaving", "removed"], async (how) => void orders.push(how));
    expect(orders).toEqual([{ force: true }]);
    expect(seen).toEqual({ notes: [], asked: 3, states: ["removed"] });
  });

  test("goes all the same where they do not, and says what that may cost", async () => {
    const { notes } = await leaveByForce("etcd", ["leaving"], async () => {});
    expect(notes).toEqual([expect.stringMatching(/has not taken this node out.*no majority.*'k8s recover'/)]);
  });

  test("waits for nobody whom it could not tell, nor where it has no vote", async () => {
    const untold = await leaveByForce("etcd", ["leaving"], async () => {
      throw new Error("no quorum");
    });
    expect(untold).toMatchObject({ notes: ["the cluster does not know of it: no quorum"], asked: 0 });
    expect(await leaveByForce("sqlite", ["leaving"], async () => {})).toMatchObject({ notes: [], asked: 0 });
  });
});
