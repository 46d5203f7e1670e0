import { z } from "zod";

/** GET /core/1.0 */
export const serverStatus = z.object({
  name: z.string(),
  /** "" before bootstrap or join. */
  address: z.string(),
  version: z.string(),
  ready: z.boolean(),
  extensions: z.array(z.string()),
});
export type ServerStatus = z.infer<typeof serverStatus>;
