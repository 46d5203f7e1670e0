import type { AddressLook } from "../cluster/address/follow-address.ts";
import { type TellDeps, tellCluster } from "../cluster/address/tell.ts";
import type { BootstrapInput } from "../cluster/bootstrap/plan.ts";
import type { Reconciler } from "./loop.ts";

const lookMs = 1_000;
/** From here on an address that goes is a cable that was pulled, and no reason to move. */
const afterStartMs = 120_000;
const never = 2 ** 31 - 1;

/** Looks after the start whether the node still has its address; runs beside the member, because it stops it. */
export function createAddressFollower(look: (signal: AbortSignal) => Promise<AddressLook>): Reconciler {
  const begun = performance.now();
  return {
    name: "address",
    reconcile: async (signal) => {
      const seen = await look(signal);
      return seen === "has it" || performance.now() - begun > afterStartMs ? never : lookMs;
    },
  };
}

/** Changed addresses are told by the change itself; this is for records that somebody else put back. */
const toldMs = 3_600_000;

/** A control plane that moved while nobody could be told tells it as soon as there is somebody. */
export function createOwnAddress(input: BootstrapInput, deps: TellDeps): Reconciler {
  return {
    name: "own-address",
    reconcile: async (signal) => {
      await tellCluster(input, deps, signal);
      return toldMs;
    },
  };
}
