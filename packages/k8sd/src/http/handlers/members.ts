import type { JoinRequest, RemoveNodeRequest } from "@k8sd/api-types";
import { z } from "zod";
import { cleanHostname } from "../../cluster/config/hostname.ts";
import { parseYaml } from "../../cluster/config/parse-yaml.ts";
import type { JoinOrder } from "../../cluster/join/prepare.ts";
import type { RemoveOrder } from "../../cluster/remove/remove.ts";
import { isWorkerToken } from "../../cluster/tokens-encoding.ts";
import { AppError, errorReport } from "../../lib/app-error.ts";
import { toMs } from "../duration.ts";
import { answers, starts } from "../endpoint.ts";
import { type FailureRule, HttpError, orBadRequest } from "../errors.ts";

/** The contract's: the node belongs to a cluster already. */
const nodeInUse = 521;

const joinFailure: FailureRule = (error, request) => {
  if (error.kind === "already-initialised") return { status: nodeInUse, message: error.message };
  const role = isWorkerToken((request as JoinRequest).token) ? "worker" : "control plane";
  return { status: 500, message: `failed to join k8sd cluster as ${role}: ${errorReport(error)}` };
};

const removeFailure: FailureRule = (error) => ({
  status: 500,
  message: `failed to remove node: ${errorReport(error)}`,
});
const leaveFailure: FailureRule = (error) => ({
  status: 500,
  message: `failed to leave the cluster: ${errorReport(error)}`,
});

const toRemoveOrder = ({ name, force, timeout }: RemoveNodeRequest): RemoveOrder => {
  if (name === "") throw new HttpError(400, "name cannot be empty");
  return { name, force, timeoutMs: toMs(timeout) };
};

export const members = [
  starts("removeNode", ({ domain, requestId }, request) => domain.removeNode(toRemoveOrder(request), { requestId }), {
    failure: removeFailure,
  }),

  starts(
    "capiRemoveNode",
    ({ domain, requestId }, request) => domain.removeNode(toRemoveOrder(request), { requestId }),
    { failure: removeFailure },
  ),

  starts(
    "leave",
    ({ domain, requestId }, { force, timeout }) => domain.leave({ force, timeoutMs: toMs(timeout) }, { requestId }),
    { failure: leaveFailure },
  ),

  answers("memberStanding", async ({ domain, caller, signal }) => domain.members.standing(caller, signal)),

  starts("join", ({ domain, requestId }, request) => domain.join(toOrder(request), { requestId }), {
    failure: joinFailure,
  }),

  answers("deadMembers", async ({ domain }) => domain.deadMembers()),

  answers("listMembers", async ({ domain, signal }) => domain.members.list(signal)),

  answers("prepareMember", async ({ domain, caller, signal }, request) =>
    domain.members.prepare(request, caller, signal),
  ),

  answers("reserveMember", async ({ domain, caller, signal }, request) =>
    domain.members.reserve(request, caller, signal),
  ),

  answers("advanceMember", async ({ domain, caller, signal }, request) => {
    await domain.members.advance(request, caller, signal);
    return {};
  }),
];

function toOrder({ name, address, token, config, timeout }: JoinRequest): JoinOrder {
  checkSyntax(config);
  return { name: orBadRequest(() => cleanHostname(name)), address, token, config, timeoutMs: toMs(timeout) };
}

/** What the keys are, and whether they are known, depends on the token; that it can be read does not. */
function checkSyntax(config: string): void {
  try {
    parseYaml(z.json(), config);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new HttpError(400, `failed to parse request config: ${errorReport(error)}`, { cause: error });
  }
}
