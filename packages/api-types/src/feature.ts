import { z } from "zod";
import { timestamp } from "./bounds.ts";

export const featureNames = [
  "dns",
  "network",
  "load-balancer",
  "ingress",
  "gateway",
  "metrics-server",
  "local-storage",
] as const;
export type FeatureName = (typeof featureNames)[number];

export const featureStatus = z.object({
  enabled: z.boolean(),
  message: z.string(),
  version: z.string(),
  "updated-at": timestamp,
});
export type FeatureStatus = z.infer<typeof featureStatus>;

/** Status of a feature that nobody has reconciled yet. */
export const unknownFeatureStatus: FeatureStatus = {
  enabled: false,
  message: "",
  version: "",
  "updated-at": "0001-01-01T00:00:00Z",
};
