import { afterAll, afterEach, beforeEach } from "vitest";
import type { Host } from "../hosts/types.ts";
import type { FaultPoints } from "./points.ts";

export interface Shared extends AsyncDisposable {
  readonly hosts: readonly Host[];
  readonly points: FaultPoints;
}

/** What tests share. After one that failed nobody knows what it is like: the next one gets a new one. */
export function createShared<T extends Shared>(make: () => Promise<T>): () => T {
  let shared: T | undefined;

  async function discard(): Promise<void> {
    const old = shared;
    shared = undefined;
    await old?.[Symbol.asyncDispose]();
  }

  beforeEach(async () => {
    shared ??= await make();
  });
  afterEach(async ({ task }) => {
    if (task.result?.state !== "fail") return shared?.points.clear();
    for (const host of shared?.hosts ?? []) host.markFailed();
    await discard();
  });
  afterAll(discard);

  return () => {
    if (shared === undefined) throw new Error("what the tests share was not made");
    return shared;
  };
}
