import type { BootstrapInput } from "../cluster/bootstrap/plan.ts";
import type { KnownMember } from "../cluster/roster.ts";
import { authorizationConfig } from "../components/authorization.ts";
import { readTextIfThere } from "../lib/read-file.ts";
import { writeFileAtomic } from "../lib/write-file.ts";
import type { Reconciler } from "./loop.ts";

/** Looks into memory. */
const lookMs = 500;

/** On control planes: kube-apiserver knows the nodes that are members, and refuses the certificates of all others. */
export function createAuthorization(
  { nodeId, view }: Pick<BootstrapInput, "nodeId" | "view">,
  deps: { readonly members: () => readonly Pick<KnownMember, "id">[] },
): Reconciler {
  let written: readonly unknown[] | undefined;
  return {
    name: "authorization",
    reconcile: async () => {
      const members = deps.members();
      // Before it was told of itself it was told of nobody.
      if (members === written || !members.some(({ id }) => id === nodeId)) return lookMs;
      const ids = members.map(({ id }) => id);
      const file = authorizationConfig(view, ids);
      if ((await readTextIfThere(file.path)) !== file.content) await writeFileAtomic(file);
      written = members;
      return lookMs;
    },
  };
}
