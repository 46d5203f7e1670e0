import { z } from "zod";
import { mapOf, text, textList } from "./bounds.ts";
import { userFacingDatastoreConfig } from "./datastore.ts";

const flag = z.boolean().optional();
const number = z.int().optional();

/** Every leaf is optional: absent differs from false, "" and 0. Key order is the order of output. */
export const userFacingClusterConfig = z.strictObject({
  network: z
    .strictObject({
      enabled: flag,
      /** Always present in answers, null when unset; unset means true. */
      "kube-proxy-enabled": z.boolean().nullable().optional(),
    })
    .optional(),
  dns: z
    .strictObject({
      enabled: flag,
      "cluster-domain": text.optional(),
      "service-ip": text.optional(),
      "upstream-nameservers": textList.optional(),
    })
    .optional(),
  ingress: z
    .strictObject({ enabled: flag, "default-tls-secret": text.optional(), "enable-proxy-protocol": flag })
    .optional(),
  "load-balancer": z
    .strictObject({
      enabled: flag,
      cidrs: textList.optional(),
      "l2-mode": flag,
      "l2-interfaces": textList.optional(),
      "bgp-mode": flag,
      "bgp-local-asn": number,
      "bgp-peer-address": text.optional(),
      "bgp-peer-asn": number,
      "bgp-peer-port": number,
    })
    .optional(),
  "local-storage": z
    .strictObject({ enabled: flag, "local-path": text.optional(), "reclaim-policy": text.optional(), default: flag })
    .optional(),
  gateway: z.strictObject({ enabled: flag }).optional(),
  "metrics-server": z.strictObject({ enabled: flag }).optional(),
  "cloud-provider": text.optional(),
  annotations: mapOf(z.string().max(64 * 1024)).optional(),
});
export type UserFacingClusterConfig = z.infer<typeof userFacingClusterConfig>;

export const getClusterConfigResponse = z.object({
  /** The key is `status` in the contract, though it holds the configuration. */
  status: userFacingClusterConfig,
  datastore: userFacingDatastoreConfig,
  "pod-cidr": z.string().optional(),
  "service-cidr": z.string().optional(),
});
export type GetClusterConfigResponse = z.infer<typeof getClusterConfigResponse>;

export const updateClusterConfigRequest = z.strictObject({
  config: userFacingClusterConfig.optional(),
  datastore: userFacingDatastoreConfig.optional(),
});
export type UpdateClusterConfigRequest = z.infer<typeof updateClusterConfigRequest>;
