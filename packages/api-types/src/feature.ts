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
