import { expect, test } from "vitest";
import { createAudit } from "../../../src/node-db/audit.ts";
import { openNodeDb } from "../../../src/node-db/node-db.ts";

test("of each action only the newest entries are kept, and one action cannot push out another", () => {
  using db = openNodeDb(":memory:");
  let now = 0;
  const audit = createAudit(db, () => now);
  audit.record({ actor: "root", action: "rare", outcome: "ok", details: { id: "a" } });
  for (now = 1; now <= 5_000; now += 1) {
    audit.record({ actor: "x", action: "often", outcome: "no", details: {} });
  }
  const all = audit.latest(10_000);
  expect(all.length).toBeLessThanOrEqual(2_102);
  expect(all.length).toBeGreaterThanOrEqual(2_001);
  expect(all[0]).toEqual({ at: 5_000, actor: "x", action: "often", outcome: "no", details: {} });
  expect(all.at(-1)).toEqual({ at: 0, actor: "root", action: "rare", outcome: "ok", details: { id: "a" } });
});
