import { endpoints } from "@k8sd/api-types";
import type { Endpoint } from "./endpoint.ts";
import { address } from "./handlers/address.ts";
import { authTokens } from "./handlers/auth-tokens.ts";
import { capi } from "./handlers/capi.ts";
import { cluster } from "./handlers/cluster.ts";
import { clusterConfig } from "./handlers/cluster-config.ts";
import { core } from "./handlers/core.ts";
import { datastore } from "./handlers/datastore.ts";
import { joinTokens } from "./handlers/join-tokens.ts";
import { members } from "./handlers/members.ts";
import { mesh } from "./handlers/mesh.ts";
import { node } from "./handlers/node.ts";
import { nodeAccess } from "./handlers/node-access.ts";
import { operations } from "./handlers/operations.ts";
import { recovery } from "./handlers/recovery.ts";
import { snapshots } from "./handlers/snapshots.ts";

/** Every endpoint that answers. */
export const routes: readonly Endpoint[] = [
  ...core,
  ...cluster,
  ...node,
  ...clusterConfig,
  ...authTokens,
  ...nodeAccess,
  ...capi,
  ...joinTokens,
  ...members,
  ...mesh,
  ...address,
  ...recovery,
  ...datastore,
  ...snapshots,
  ...operations,
];

/** Paths of the contract that no row answers yet: known, so 501 and not 404. */
export const unimplemented: readonly { readonly path: string; readonly beforeInit: boolean }[] = Object.values(
  endpoints,
).filter((endpoint) => !routes.some((row) => row.path === endpoint.path));
