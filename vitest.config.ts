import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const resolve = { conditions: ["source"] };
const shared = { resolve, ssr: { resolve } };

/** How many files run at a time: where they wait for sockets and programs, more than there are cores. */
const cores = availableParallelism();
/** A file has hosts of its own, with a whole Kubernetes in many: more at a time starve each other on two cores. */
const filesWithHosts = 2;

/** One project per tier; a tier is a command (`pnpm test:<tier>`), and `npm test` says which ones it runs. */
export default defineConfig({
  ...shared,
  test: {
    projects: [
      { ...shared, test: { name: "unit", include: ["packages/*/test/unit/**/*.test.ts"], maxWorkers: cores } },
      {
        ...shared,
        test: {
          name: "integration",
          include: ["packages/*/test/integration/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          maxWorkers: 2 * cores,
        },
      },
      {
        ...shared,
        test: {
          name: "scenario",
          include: [
            "test/hosts/**/*.test.ts",
            "test/kubernetes/**/*.test.ts",
            "test/datastore/**/*.test.ts",
            "test/scenarios/**/*.test.ts",
          ],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          maxWorkers: filesWithHosts,
        },
      },
      {
        ...shared,
        test: {
          name: "faults",
          include: ["test/faults/**/*.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          maxWorkers: filesWithHosts,
        },
      },
      {
        ...shared,
        test: { name: "sim", include: ["test/sim/**/*.test.ts"], testTimeout: 1_200_000, maxWorkers: cores },
      },
    ],
  },
});
