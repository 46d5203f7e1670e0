import type { SealKeyState } from "@k8sd/api-types";
import { isMoving } from "../cluster/seal-key/rotation.ts";
import type { Reconciler } from "./loop.ts";

/** Nobody waits for the beginning longer than this. */
const periodMs = 5_000;
const movingMs = 500;

/** A new key of the seal gets to every control plane, and an old one goes when nothing needs it. */
export function createSealKeyFollower(deps: {
  readonly follow: (signal: AbortSignal) => Promise<SealKeyState>;
}): Reconciler {
  return {
    name: "seal-key",
    reconcile: async (signal) => (isMoving(await deps.follow(signal)) ? movingMs : periodMs),
  };
}
