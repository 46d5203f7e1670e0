import { z } from "zod";

/** All seven keys are in every answer but the token webhook's. */
export const envelope = z.object({
  type: z.enum(["sync", "error"]),
  status: z.string(),
  status_code: z.int(),
  operation: z.string(),
  error_code: z.int(),
  error: z.string(),
  metadata: z.unknown(),
});
export type Envelope<T = unknown> = Omit<z.infer<typeof envelope>, "metadata"> & { metadata: T };

export function success<T>(metadata: T): Envelope<T> {
  return { type: "sync", status: "Success", status_code: 200, operation: "", error_code: 0, error: "", metadata };
}

export function failure(code: number, message: string): Envelope<null> {
  return { type: "error", status: "", status_code: 0, operation: "", error_code: code, error: message, metadata: null };
}
