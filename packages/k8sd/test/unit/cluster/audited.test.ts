import { expect, test } from "vitest";
import { audited } from "../../../src/cluster/audited.ts";
import type { AuditEntry } from "../../../src/node-db/audit.ts";

type Entry = Omit<AuditEntry, "at">;

async function entriesOf(result: Promise<unknown>): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  const audit = { record: (entry: Entry) => void entries.push(entry) };
  audited(audit, { actor: "root", source: "unix" }, { action: "cluster.recover", details: { epoch: 1 } }, result);
  await result.catch(() => {});
  await Promise.resolve();
  return entries;
}

test("a change is in the audit before a crash can come, and again with its end, by whom and from where", async () => {
  const entry = { actor: "root", action: "cluster.recover", details: { epoch: 1, source: "unix" } };
  expect(await entriesOf(Promise.resolve())).toEqual([
    { ...entry, outcome: "begun" },
    { ...entry, outcome: "ok" },
  ]);
  expect(await entriesOf(Promise.reject(new Error("the disk is full")))).toEqual([
    { ...entry, outcome: "begun" },
    { ...entry, outcome: "the disk is full" },
  ]);
});
