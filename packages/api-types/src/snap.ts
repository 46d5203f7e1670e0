import { z } from "zod";
import { text } from "./bounds.ts";

/** Exactly one of the three is not empty. */
export const snapRefreshRequest = z.strictObject({
  channel: text.default(""),
  revision: text.default(""),
  localPath: text.default(""),
});
export type SnapRefreshRequest = z.infer<typeof snapRefreshRequest>;

export const snapRefreshResponse = z.object({ changeId: z.string() });
export type SnapRefreshResponse = z.infer<typeof snapRefreshResponse>;

export const snapRefreshStatusRequest = z.strictObject({ changeId: text.default("") });
export type SnapRefreshStatusRequest = z.infer<typeof snapRefreshStatusRequest>;

export const snapRefreshStatusResponse = z.object({
  status: z.string(),
  completed: z.boolean(),
  errorMessage: z.string(),
});
export type SnapRefreshStatusResponse = z.infer<typeof snapRefreshStatusResponse>;
