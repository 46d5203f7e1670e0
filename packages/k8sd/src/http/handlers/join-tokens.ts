import type { JoinTokenRequest } from "@k8sd/api-types";
import { cleanHostname } from "../../cluster/config/hostname.ts";
import type { TokenOrder } from "../../cluster/tokens.ts";
import { errorReport } from "../../lib/app-error.ts";
import { toMs } from "../duration.ts";
import { answers, type RequestContext } from "../endpoint.ts";
import { type FailureRule, orBadRequest } from "../errors.ts";

/** The contract's: a name that is taken is no 409, and its text stands alone. What the caller did wrong beyond it is 400. */
const createFailure: FailureRule = (error) => {
  if (error.details.nameTaken === true) return { status: 500, message: error.message };
  return { status: error.kind === "invalid" ? 400 : 500, message: `failed to create token: ${errorReport(error)}` };
};

const create = async ({ domain, caller, signal }: RequestContext, request: JoinTokenRequest) => ({
  token: await domain.joinTokens.create(toOrder(request), caller, signal),
});

export const joinTokens = [
  answers("createJoinToken", create, { failure: createFailure }),
  answers("capiCreateJoinToken", create, { failure: createFailure }),

  answers("listJoinTokens", async ({ domain, signal }) => ({ tokens: [...(await domain.joinTokens.list(signal))] })),

  answers("revokeJoinToken", async ({ domain, caller, signal, id }) => {
    await domain.joinTokens.revoke(id, caller, signal);
    return {};
  }),
];

function toOrder({ name, worker, ttl, uses, cidrs }: JoinTokenRequest): TokenOrder {
  return {
    role: worker ? "worker" : "control-plane",
    // A worker's token can do without a name; a control plane's is always for one node.
    name: worker && name === "" ? "" : orBadRequest(() => cleanHostname(name)),
    ttlMs: toMs(ttl),
    uses,
    cidrs,
  };
}
