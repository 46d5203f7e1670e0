import type { Keep } from "./types.ts";

export function keepFromEnvironment(): Keep {
  const value = process.env.K8SD_KEEP ?? "never";
  if (value === "never" || value === "failure" || value === "always") return value;
  throw new Error(`cannot read K8SD_KEEP="${value}": it must be never, failure or always`);
}

/**
 * What disposal does. A host leaves the scope of its test before anybody knows whether the test failed, so with
 * "failure" the decision waits until vitest says how the test that disposes of it ended; outside a test, `failed` alone
 * decides.
 */
export async function whenTestFinishes(
  keep: Keep | undefined,
  destroy: () => Promise<void>,
  retain: () => void,
  failed: () => boolean = () => false,
): Promise<() => Promise<void>> {
  const mode = keep ?? keepFromEnvironment();
  if (mode === "never") return destroy;
  if (mode === "always") return async () => retain();
  const settle = async (testFailed: boolean) => (testFailed || failed() ? retain() : destroy());
  if (process.env.VITEST !== undefined) {
    const { onTestFinished } = await import("vitest");
    return async () => {
      try {
        onTestFinished(({ task }) => settle(task.result?.state === "fail"));
      } catch {
        // not called from within a test, but from a hook of all: the caller says it with markFailed
        await settle(false);
      }
    };
  }
  return () => settle(false);
}
