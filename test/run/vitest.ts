import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { type Counts, readCounts } from "./counts.ts";
import type { Tier } from "./tiers.ts";

/** Runs one tier, its output as it comes; `filters` are file name parts as vitest takes them. */
export async function runTier(tier: Tier, filters: readonly string[], env: Record<string, string>): Promise<Counts> {
  const directory = await mkdtemp(join(tmpdir(), "k8sd-test-"));
  const report = join(directory, "report.json");
  try {
    const { exitCode } = await execa(
      "node_modules/.bin/vitest",
      [
        "run",
        "--project",
        tier.name,
        // A file in test hosts takes minutes: each test is told when it ends.
        `--reporter=${tier.needsHosts ? "verbose" : "default"}`,
        "--reporter=json",
        `--outputFile.json=${report}`,
        ...filters,
      ],
      { stdio: ["ignore", "inherit", "inherit"], reject: false, env },
    );
    return await readCounts(report, exitCode ?? 1);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
