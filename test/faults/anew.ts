import { afterAll, afterEach, beforeEach } from "vitest";
import type { Host } from "../hosts/types.ts";

interface Kept {
  /** What the cases of a group share, from nothing; what is put on the stack goes with it. */
  make(stack: AsyncDisposableStack): Promise<void>;
  hosts(): readonly (Host | undefined)[];
}

/** Makes it before the first case, and anew after one that failed: what that one left behind fails no other. */
export function sharedByCases({ make, hosts }: Kept): void {
  let stack = new AsyncDisposableStack();
  let sound = false;
  beforeEach(async () => {
    if (sound) return;
    await stack.disposeAsync();
    stack = new AsyncDisposableStack();
    await make(stack);
    sound = true;
  });
  afterEach(({ task }) => {
    if (task.result?.state !== "fail") return;
    sound = false;
    for (const host of hosts()) host?.markFailed();
  });
  afterAll(() => stack.disposeAsync());
}
