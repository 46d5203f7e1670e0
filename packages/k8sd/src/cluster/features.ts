import type { FeatureName, FeatureStatus } from "@k8sd/api-types";
import type { ClusterConfig } from "./config/types.ts";

/** Go's zero time: what clients of the contract take as "never". */
const never = "0001-01-01T00:00:00Z";

/** Version of the built-in network: bridge, host-local and portmap of the CNI reference plugins. */
const builtInNetwork = "built-in";

/**
 * What can be told of the features. Only the built-in network exists in this version; a feature that is enabled in the
 * configuration and not deployed says so, and is never shown as enabled.
 */
export function featureStatuses(config: ClusterConfig, recordedAt: string): Record<FeatureName, FeatureStatus> {
  const other = (enabled: boolean | undefined): FeatureStatus =>
    enabled === true
      ? {
          enabled: false,
          message: "enabled in the configuration; this version does not deploy it yet",
          version: "",
          "updated-at": never,
        }
      : { enabled: false, message: "disabled", version: "", "updated-at": never };
  const networkOn = config.network.enabled === true;
  return {
    network: {
      enabled: networkOn,
      message: networkOn ? "enabled" : "disabled",
      version: builtInNetwork,
      "updated-at": recordedAt,
    },
    dns: other(config.dns.enabled),
    gateway: other(config.gateway.enabled),
    ingress: other(config.ingress.enabled),
    "load-balancer": other(config["load-balancer"].enabled),
    "local-storage": other(config["local-storage"].enabled),
    "metrics-server": other(config["metrics-server"].enabled),
  };
}
