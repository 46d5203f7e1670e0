import { z } from "zod";
import { pem, text, textList } from "./bounds.ts";

/** Part of the cluster status. `servers` only for an external datastore. */
export const datastoreStatus = z.object({ type: z.string().optional(), servers: z.array(z.string()).optional() });
export type DatastoreStatus = z.infer<typeof datastoreStatus>;

export const userFacingDatastoreConfig = z.strictObject({
  type: text.optional(),
  servers: textList.optional(),
  "ca-crt": pem.optional(),
  "client-crt": pem.optional(),
  "client-key": pem.optional(),
});
export type UserFacingDatastoreConfig = z.infer<typeof userFacingDatastoreConfig>;
