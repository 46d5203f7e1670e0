import type { StandingResponse } from "@k8sd/api-types";
import { expect, test } from "vitest";
import { createNotices } from "../../../src/cluster/notices.ts";
import { forgottenNotice, judge } from "../../../src/cluster/standing.ts";
import { createStanding } from "../../../src/reconcile/standing.ts";

const answer = (state: StandingResponse["state"], incarnation = 2, epoch = 3): StandingResponse => ({
  state,
  incarnation,
  epoch,
});
const own = { epoch: 3, incarnation: 2 };

test.each([
  ["a member that is in", answer("active"), "member"],
  ["a member on its way out", answer("leaving"), "member"],
  ["one whose membership was ended", answer("removed"), "removed"],
  ["one that was removed and came back later than the copy was made", answer("removed", 1, 4), "forgotten"],
  ["one that came in later than the copy was made", answer("unknown", 0, 4), "forgotten"],
  ["one that nobody knows in its own epoch", answer("unknown", 0), "forgotten"],
  ["one whose join the copy has not seen end", answer("joining", 2, 4), "unfinished"],
  ["one of whom the copy has an earlier join", answer("reserved", 1, 4), "forgotten"],
  ["one that a control plane of an epoch that is over calls removed", answer("removed", 2, 2), "stale"],
  ["one that such a control plane does not know", answer("unknown", 0, 2), "stale"],
])("%s is judged by epoch and incarnation", (_who, said, verdict) => {
  expect(judge(own, said)).toBe(verdict);
});

test("what a side says that was recovered while this one worked counts for nothing", () => {
  const declining = { ...own, declined: ["theirs"] };
  expect(judge(declining, { ...answer("removed", 2, 4), recovery: "theirs" })).toBe("stale");
  expect(judge(declining, { ...answer("removed", 2, 4), recovery: "another" })).toBe("removed");
});

test("nodes of before these numbers were kept are in their first time and epoch", () => {
  expect(judge({}, answer("removed", 1, 1))).toBe("removed");
});

test("the notice says why and what to do, for a control plane without asking a datastore that has no quorum", () => {
  expect(forgottenNotice(own, "worker", answer("unknown", 0, 4))).toEqual({
    reason: "RecoveredFromOlderCopy",
    message: expect.stringMatching(
      /recovered \(epoch 4\).*older than this node's membership.*'k8s leave' on this node/,
    ),
  });
  expect(forgottenNotice(own, "control-plane", answer("unknown", 0))).toEqual({
    reason: "NotKnown",
    message: expect.stringMatching(/no record of this node.*'k8s leave --force'/),
  });
});

/** What one look does with an answer. */
async function look(said: StandingResponse) {
  const done: string[] = [];
  const notices = createNotices();
  notices.set("Membership", { reason: "before", message: "" });
  const link = { standing: async () => said, advance: async (action: string) => void done.push(action) };
  const self = { nodeId: "id", ...own, view: { role: "worker" } } as const;
  const deps = { members: () => [], link: async () => link, notices, removed: async () => void done.push("removed") };
  await createStanding(() => self, deps).reconcile(new AbortController().signal);
  return { done, reasons: notices.all().map(({ reason }) => reason) };
}

test("only the end of this very membership makes the node clean up; what the copy lost a person hears, and a join ends again", async () => {
  expect(await look(answer("removed"))).toEqual({ done: ["removed"], reasons: ["before"] });
  expect(await look(answer("removed", 1, 4))).toEqual({ done: [], reasons: ["RecoveredFromOlderCopy"] });
  expect(await look(answer("reserved", 2, 4))).toEqual({ done: ["begin", "commit"], reasons: ["before"] });
  expect(await look(answer("joining", 2, 4))).toEqual({ done: ["commit"], reasons: ["before"] });
  expect(await look(answer("active"))).toEqual({ done: [], reasons: [] });
  expect(await look(answer("removed", 2, 2))).toEqual({ done: [], reasons: ["before"] });
});
