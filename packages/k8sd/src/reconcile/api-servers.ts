import { isDeepStrictEqual } from "node:util";
import { writeEndpoints } from "../apiserver-proxy/endpoints-file.ts";
import type { BootstrapInput } from "../cluster/bootstrap/plan.ts";
import { apiServersOf } from "../cluster/join/members.ts";
import type { Roster } from "../cluster/roster.ts";
import { apiserverProxyEndpoints } from "../components/k8s-apiserver-proxy.ts";
import type { Reconciler } from "./loop.ts";
import type { MemberMesh } from "./member-mesh.ts";

/** Looks into memory. */
const lookMs = 500;

/** On workers: the way to the API servers is as the members are, those on nodes that the mesh holds for dead come last. */
export function createApiServers(
  { config, view }: BootstrapInput,
  deps: { readonly roster: Pick<Roster, "members">; readonly mesh: Pick<MemberMesh, "liveness"> },
): Reconciler {
  let written: unknown;
  return {
    name: "api-servers",
    reconcile: async () => {
      const members = deps.roster.members();
      const liveness = deps.mesh.liveness();
      const away = members.filter(({ id }) => liveness?.get(id)?.state === "dead");
      const wanted = { endpoints: apiServersOf(config, members), away: apiServersOf(config, away) };
      // Before it was told of the first one, what the join wrote stays.
      if (wanted.endpoints.length === 0 || isDeepStrictEqual(wanted, written)) return lookMs;
      await writeEndpoints(apiserverProxyEndpoints(view.paths), wanted.endpoints, wanted.away);
      written = wanted;
      return lookMs;
    },
  };
}
