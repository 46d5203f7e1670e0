import { parse } from "yaml";
import { z } from "zod";

import { AppError, errorText } from "../lib/app-error.ts";
import { parseDuration } from "./duration.ts";

/** Layers are small; a larger file is a mistake. */
const maxLayerCharacters = 1024 * 1024;

const duration = z.string().transform((text, context) => {
  const milliseconds = parseDuration(text);
  if (milliseconds !== undefined) return milliseconds;
  context.addIssue({ code: "custom", message: `${JSON.stringify(text)} is no duration such as 500ms or 1m30s` });
  return z.NEVER;
});
const action = z.enum(["restart", "shutdown", "failure-shutdown", "success-shutdown", "ignore"]);
const names = z.array(z.string());
const override = z.enum(["merge", "replace"]);
const identity = {
  user: z.string().optional(),
  "user-id": z.int().min(0).optional(),
  group: z.string().optional(),
  "group-id": z.int().min(0).optional(),
  "working-dir": z.string().optional(),
};

const serviceSchema = z.strictObject({
  override,
  summary: z.string().optional(),
  description: z.string().optional(),
  command: z.string().optional(),
  startup: z.enum(["enabled", "disabled"]).optional(),
  after: names.optional(),
  before: names.optional(),
  requires: names.optional(),
  environment: z.record(z.string(), z.string()).optional(),
  ...identity,
  "on-success": action.exclude(["success-shutdown"]).optional(),
  "on-failure": action.exclude(["failure-shutdown"]).optional(),
  "on-check-failure": z.record(z.string(), action.exclude(["failure-shutdown"])).optional(),
  "backoff-delay": duration.optional(),
  "backoff-factor": z.number().min(1).optional(),
  "backoff-limit": duration.optional(),
  "kill-delay": duration.optional(),
});

const checkSchema = z.strictObject({
  override,
  level: z.enum(["alive", "ready"]).optional(),
  startup: z.enum(["enabled", "disabled"]).optional(),
  period: duration.optional(),
  timeout: duration.optional(),
  threshold: z.int().min(1).optional(),
  http: z.strictObject({ url: z.url(), headers: z.record(z.string(), z.string()).optional() }).optional(),
  tcp: z.strictObject({ port: z.int().min(1).max(65_535), host: z.string().optional() }).optional(),
  exec: z
    .strictObject({
      command: z.string(),
      "service-context": z.string().optional(),
      environment: z.record(z.string(), z.string()).optional(),
      ...identity,
    })
    .optional(),
});

const layerSchema = z.strictObject({
  summary: z.string().optional(),
  description: z.string().optional(),
  services: z.record(z.string().regex(/^(?!pebble$)[^-/\0][^/\0]*$/), serviceSchema).optional(),
  checks: z.record(z.string(), checkSchema).optional(),
});

export type LayerService = z.infer<typeof serviceSchema>;
export type LayerCheck = z.infer<typeof checkSchema>;
export type Layer = z.infer<typeof layerSchema>;
/** As it is written: durations are text. */
export type LayerServiceText = z.input<typeof serviceSchema>;

export function parseLayer(source: string, text: string): Layer {
  if (text.length > maxLayerCharacters) throw invalid(source, "it is larger than 1 MiB");
  let value: unknown;
  try {
    // An empty file is a layer that changes nothing. Aliases could make a small file enormous.
    value = parse(text, { maxAliasCount: 100 }) ?? {};
  } catch (error) {
    throw invalid(source, errorText(error), error);
  }
  const result = layerSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw invalid(source, `${issue?.path.join(".") || "the file"}: ${issue?.message}`, result.error);
}

/** Layers in their order → one; `merge` replaces scalars, appends lists and merges maps, `replace` starts anew. */
export function combineLayers(layers: readonly Layer[]): {
  services: Record<string, LayerService>;
  checks: Record<string, LayerCheck>;
} {
  const services = new Map<string, LayerService>();
  const checks = new Map<string, LayerCheck>();
  for (const layer of layers) {
    for (const [name, service] of Object.entries(layer.services ?? {}))
      services.set(name, combine(services.get(name), service));
    for (const [name, check] of Object.entries(layer.checks ?? {})) checks.set(name, combine(checks.get(name), check));
  }
  return { services: Object.fromEntries(services), checks: Object.fromEntries(checks) };
}

function combine<T extends { override: "merge" | "replace" }>(below: T | undefined, above: T): T {
  return below === undefined || above.override === "replace" ? above : mergeMaps(below, above);
}

function mergeMaps<T extends object>(below: T, above: T): T {
  const merged = Object.fromEntries<unknown>(Object.entries(below));
  for (const [key, value] of Object.entries(above)) {
    const old = merged[key];
    if (Array.isArray(old) && Array.isArray(value)) merged[key] = [...new Set([...old, ...value])];
    else if (isMap(old) && isMap(value)) merged[key] = mergeMaps(old, value);
    else if (value !== undefined) merged[key] = value;
  }
  return merged as T;
}

function isMap(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(source: string, reason: string, cause?: unknown): AppError {
  return new AppError("invalid", `cannot read the layer ${source}: ${reason}`, {
    field: source,
    cause,
    remedy: `Correct ${source}.`,
  });
}
