import type { BootstrapRequest } from "@k8sd/api-types";
import type { BootstrapOrder } from "../../cluster/cluster.ts";
import { cleanHostname } from "../../cluster/config/hostname.ts";
import { parseBootstrapConfig } from "../../cluster/config/parse-yaml.ts";
import { type AppError, errorReport } from "../../lib/app-error.ts";
import { toMs } from "../duration.ts";
import { answers, starts } from "../endpoint.ts";
import { type FailureRule, HttpError, orBadRequest } from "../errors.ts";

/** The contract answers every failure of a bootstrap with 400. */
const bootstrapFailure: FailureRule = (error) => ({
  status: 400,
  message: bootstrapFailureText(error),
});

function bootstrapFailureText(error: AppError): string {
  switch (error.kind) {
    case "already-initialised":
      return "cluster is already bootstrapped";
    case "invalid":
      return `failed to prepare bootstrap config: ${errorReport(error)}`;
    default:
      return `failed to bootstrap new cluster: ${errorReport(error)}`;
  }
}

export const cluster = [
  answers("clusterStatus", async ({ domain, signal }) => {
    if (domain.databaseStatus() !== "Database is online") throw new HttpError(503, "daemon not yet initialized");
    return { status: await domain.clusterStatus(signal) };
  }),

  starts("bootstrap", ({ domain, requestId }, request) => domain.bootstrap(toOrder(request), { requestId }), {
    failure: bootstrapFailure,
  }),
];

function toOrder({ name, address, config, timeout }: BootstrapRequest): BootstrapOrder {
  return orBadRequest(() => ({
    name: cleanHostname(name),
    address,
    config: typeof config === "string" ? parseBootstrapConfig(config) : config,
    timeoutMs: toMs(timeout),
  }));
}
