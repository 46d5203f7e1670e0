import type { Logger } from "pino";
import type { ServiceManager } from "../host/services.ts";
import type { Reconciler } from "./loop.ts";

/** The service manager restarts what ends by itself; this is for what somebody stopped. */
const periodMs = 30_000;

/** Keeps the services of the node running, in the order in which they need each other. */
export function createServicesReconciler(
  names: readonly string[],
  deps: { readonly services: Pick<ServiceManager, "start" | "status">; readonly log: Logger },
): Reconciler {
  return {
    name: "services",
    reconcile: async (signal) => {
      for (const name of names) {
        const { state } = await deps.services.status(name, signal);
        if (state === "running" || state === "starting") continue;
        deps.log.warn({ service: name, state }, "Starting a service that does not run");
        await deps.services.start(name, signal);
      }
      return periodMs;
    },
  };
}
