import { afterEach } from "vitest";
import type { Host } from "../hosts/types.ts";
import { sharedByCases } from "./anew.ts";
import type { FaultPoints } from "./points.ts";

export interface Shared extends AsyncDisposable {
  readonly hosts: readonly Host[];
  readonly points: FaultPoints;
}

/** What tests share. After one that failed nobody knows what it is like: the next one gets a new one. */
export function createShared<T extends Shared>(make: () => Promise<T>): () => T {
  let shared: T | undefined;
  sharedByCases({
    make: async (stack) => {
      shared = stack.use(await make());
    },
    hosts: () => shared?.hosts ?? [],
  });
  afterEach(({ task }) => (task.result?.state === "fail" ? undefined : shared?.points.clear()));

  return () => {
    if (shared === undefined) throw new Error("what the tests share was not made");
    return shared;
  };
}
