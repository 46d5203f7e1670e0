import type { Reconciler } from "./loop.ts";

/** A hold lasts ten minutes: one that nobody needs any more is free again soon after. */
const periodMs = 60_000;

/** Ends the holds of joins that went silent, and forgets tokens that are long over. Any control plane may, at any time. */
export function createJoinTokensSweep(deps: { readonly sweep: (signal: AbortSignal) => Promise<unknown> }): Reconciler {
  return {
    name: "join-tokens",
    reconcile: async (signal) => {
      await deps.sweep(signal);
      return periodMs;
    },
  };
}
