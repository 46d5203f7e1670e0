import type { MeshClock, Random } from "./types.ts";

/** Real time. Its timers do not keep the process running. */
export function createSystemClock(): MeshClock {
  return {
    monotonic: () => performance.now(),
    wallTime: () => Date.now(),
    after: (milliseconds, run) => {
      const timer = setTimeout(run, milliseconds);
      timer.unref();
      return () => clearTimeout(timer);
    },
  };
}

export const systemRandom: Random = { next: () => Math.random() };
