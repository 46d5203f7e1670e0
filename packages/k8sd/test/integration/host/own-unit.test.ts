import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

test("k8sd's own unit leaves no core when it crashes: that would hold the cluster's keys", async () => {
  const unit = join(import.meta.dirname, "../../../../../snap/systemd/k8sd.service");
  expect((await readFile(unit, "utf8")).split("\n")).toContain("LimitCORE=0");
});
