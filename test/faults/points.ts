import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exists } from "@k8sd/k8sd/lib/read-file.ts";
import type { BoundaryMoment } from "@k8sd/k8sd/operations/boundary.ts";
import type { Host } from "../hosts/types.ts";

/** Where the daemon of a test host looks for fault points, as it sees it. */
export const faultDirectory = "/var/tmp/fault-points";
export const faultEnvironment = { K8SD_FAULT_POINTS: faultDirectory };

/** Holds a daemon at boundaries of its operations, from outside: the directory lies on the host's disk. */
export interface FaultPoints {
  /** The operation stops when it gets there. */
  hold(step: number, moment: BoundaryMoment): Promise<void>;
  /** The step fails when it gets there. */
  fail(step: number, moment: BoundaryMoment): Promise<void>;
  /** Resolves when the operation stands there. */
  reached(step: number, moment: BoundaryMoment): Promise<void>;
  /** What is held there goes on; other points stay. */
  release(step: number, moment: BoundaryMoment): Promise<void>;
  clear(): Promise<void>;
}

const reachMs = 120_000;

export function createFaultPoints(host: Host): FaultPoints {
  const directory = join(host.root, faultDirectory);
  const put = async (name: string): Promise<void> => {
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, name), "");
  };
  return {
    hold: (step, moment) => put(`hold-${step}-${moment}`),
    fail: (step, moment) => put(`fail-${step}-${moment}`),
    reached: async (step, moment) => {
      const deadline = Date.now() + reachMs;
      for (;;) {
        if (await exists(join(directory, `held-${step}-${moment}`))) return;
        if (Date.now() > deadline) {
          const log = await host.journal("k8sd");
          throw new Error(`the operation did not get to ${step}-${moment} within ${reachMs / 1000} s\n${log}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    release: (step, moment) => rm(join(directory, `hold-${step}-${moment}`), { force: true }),
    clear: () => rm(directory, { recursive: true, force: true }),
  };
}
