import { defineConfig } from "vitest/config";

const resolve = { conditions: ["source"] };
const shared = { resolve, ssr: { resolve } };

/** One project per tier; a tier is a command (`pnpm test:<tier>`), and `npm test` says which ones it runs. */
export default defineConfig({
  ...shared,
  test: {
    projects: [
      { ...shared, test: { name: "unit", include: ["packages/*/test/unit/**/*.test.ts"] } },
      {
        ...shared,
        test: { name: "integration", include: ["packages/*/test/integration/**/*.test.ts"], testTimeout: 60_000 },
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
          fileParallelism: false,
        },
      },
      {
        ...shared,
        test: {
          name: "faults",
          include: ["test/faults/**/*.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
      { ...shared, test: { name: "sim", include: ["test/sim/**/*.test.ts"], testTimeout: 600_000 } },
    ],
  },
});
