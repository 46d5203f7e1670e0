import { describe, expect, test } from "vitest";
import { untilDue, whoseTurn } from "../../../../src/cluster/snapshot/schedule.ts";

const hour = 3_600_000;
const now = 1_700_000_000_000;

describe("the schedule of snapshots", () => {
  test.each<[string, Parameters<typeof untilDue>[1], number]>([
    ["at once when there is none", undefined, 0],
    ["an interval after the last one began", { at: now - hour, path: "" }, 5 * hour],
    ["at once when the last one is long ago", { at: now - 100 * hour, path: "" }, 0],
    ["ten minutes after a failure", { at: now - 7 * hour, path: "", failedAt: now - 60_000, error: "" }, 540_000],
    ["as it is due when a failure is long ago", { at: now - hour, path: "", failedAt: now - 2 * hour }, 5 * hour],
    ["ten minutes after the first one failed", { failedAt: now, error: "" }, 600_000],
    ["within an interval when the clock was set back", { at: now + 1000 * hour, path: "" }, 6 * hour],
  ])("has the next one %s", (_, taken, wait) => {
    expect(untilDue({ everyMs: 6 * hour }, taken, now)).toBe(wait);
  });

  test("after a failure waits no longer than its interval", () => {
    expect(untilDue({ everyMs: 120_000 }, { failedAt: now, error: "" }, now)).toBe(120_000);
  });

  const schedule = { everyMs: hour, keep: 0, directory: "/s", nodeId: "b" };
  const member = (
    id: string,
    state: "active" | "leaving" = "active",
    role: "control-plane" | "worker" = "control-plane",
  ) => ({ id, name: id, role, state }) as const;

  test("is the matter of the node on which it was made, and of one other control plane without it", () => {
    expect(whoseTurn(schedule, [member("a"), member("b"), member("c")])).toBe("b");
    expect(whoseTurn(schedule, [member("c"), member("a"), member("b", "leaving")])).toBe("a");
    expect(whoseTurn(schedule, [member("a", "active", "worker"), member("c")])).toBe("c");
    expect(whoseTurn(schedule, [])).toBeUndefined();
  });
});
