import { pino } from "pino";
import { describe, expect, test } from "vitest";
import type { SnapshotSchedule, SnapshotSettings, SnapshotTaken } from "../../../../src/cluster/snapshot/settings.ts";
import { AppError } from "../../../../src/lib/app-error.ts";
import { createSnapshotsReconciler } from "../../../../src/reconcile/snapshots.ts";

const hour = 3_600_000;
const signal = new AbortController().signal;

function setUp(schedule: SnapshotSchedule | undefined) {
  const state = { now: 1_700_000_000_000, taken: undefined as SnapshotTaken | undefined, orders: [] as object[] };
  let outcome: () => Promise<{ readonly path: string }> = async () => ({ path: "/s/a" });
  const settings: SnapshotSettings = {
    lock: async () => "lock",
    setLock: async () => {},
    schedule: async () => schedule,
    setSchedule: async () => {},
    store: async () => undefined,
    setStore: async () => {},
    taken: async () => state.taken,
    setTaken: async (taken) => {
      state.taken = taken;
    },
  };
  const reconciler = createSnapshotsReconciler("a", {
    snapshots: {
      settings: async () => settings,
      save: (order) => {
        state.orders.push(order);
        return { result: outcome() };
      },
    },
    members: () => [{ id: "a", name: "n1", role: "control-plane", state: "active" }],
    log: pino({ level: "silent" }),
    now: () => state.now,
  });
  return {
    state,
    look: () => reconciler.reconcile(signal),
    saving: (next: typeof outcome) => {
      outcome = next;
    },
  };
}

const schedule = { everyMs: hour, keep: 3, directory: "/s", nodeId: "a" };

describe("snapshots by schedule", () => {
  test("are made when they are due, and then an interval later", async () => {
    const { state, look } = setUp(schedule);
    const begun = state.now;
    await look();
    expect(state.orders).toEqual([{ directory: "/s", store: false, keep: 3, timeoutMs: 0 }]);
    expect(state.taken).toEqual({ at: begun, path: "/s/a" });
    state.now += hour - 1;
    await look();
    expect(state.orders.length).toBe(1);
    state.now += 1;
    await look();
    expect(state.orders.length).toBe(2);
  });

  test("are not made without a schedule", async () => {
    const { state, look } = setUp(undefined);
    await look();
    expect(state.orders).toEqual([]);
  });

  test("that failed are told, and tried again later; the last good one stays known", async () => {
    const { state, look, saving } = setUp(schedule);
    await look();
    const { at } = state.taken ?? {};
    state.now += hour;
    saving(() => Promise.reject(new Error("disk full")));
    await look();
    await look();
    expect(state.orders.length).toBe(2);
    expect(state.taken).toEqual({ at, path: "/s/a", failedAt: state.now, error: "disk full" });
    saving(async () => ({ path: "/s/b" }));
    state.now += 10 * 60_000;
    await look();
    expect(state.taken).toEqual({ at: state.now, path: "/s/b" });
  });

  test("wait for another operation without calling that a failure", async () => {
    const { state, look, saving } = setUp(schedule);
    saving(() =>
      Promise.reject(new AppError("conflict", "cannot start snapshot: a join is under way", { retryable: true })),
    );
    await look();
    expect(state.taken).toBeUndefined();
    expect(state.orders.length).toBe(1);
  });
});
