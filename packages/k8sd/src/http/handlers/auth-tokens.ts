import { type CreateAuthTokenRequest, type TokenReview, tokenReview } from "@k8sd/api-types";
import { AppError, errorText } from "../../lib/app-error.ts";
import { decode } from "../body.ts";
import { answers, answersRaw, type RequestContext } from "../endpoint.ts";
import { always } from "../errors.ts";

const versions = ["authentication.k8s.io/v1", "authentication.k8s.io/v1beta1"];

export const authTokens = [
  answers(
    "createAuthToken",
    async ({ domain, signal }, request) => {
      checkUser(request);
      return { token: await domain.authTokens.create(request, signal) };
    },
    { failure: always(500, "database transaction failed: ") },
  ),

  answers(
    "revokeAuthToken",
    async ({ domain, signal }, { token }) => {
      if (token === "") throw new AppError("invalid", "failed to delete token from database: token cannot be empty");
      await domain.authTokens.revoke(token, signal);
      return null;
    },
    { failure: always(500, "failed to revoke auth token: database transaction failed: ") },
  ),

  answersRaw("reviewToken", async (ctx, body) => {
    let review: TokenReview;
    try {
      review = decode(tokenReview, body, false);
    } catch (error) {
      const reason = errorText(error).replace("failed to parse request: ", "");
      return { status: 400, body: rejected({ spec: { token: "" } }, `failed to parse TokenReview: ${reason}`) };
    }
    const unknown = unknownType(review);
    if (unknown !== "") return { status: 401, body: rejected(review, unknown) };
    return reviewToken(ctx, review);
  }),
];

function checkUser({ username, groups }: CreateAuthTokenRequest): void {
  if (username === "") throw new AppError("invalid", "username cannot be empty", { field: "username" });
  const invalid = (reason: string) => new AppError("invalid", `invalid groups: ${reason}`, { field: "groups" });
  for (const [index, group] of groups.entries()) {
    if (group === "") throw invalid("group cannot be empty");
    if (groups.indexOf(group) !== index) throw invalid(`duplicate group ${group}`);
    if (group.includes(",")) throw invalid(`group ${group} cannot contain a comma`);
  }
}

function unknownType({ apiVersion, kind }: TokenReview): string {
  const version = versions.includes(apiVersion) ? [] : [`unknown GroupVersion=${apiVersion}`];
  const type = kind === "TokenReview" ? [] : [`unknown Kind=${kind}`];
  const unknown = [...version, ...type].join("\n");
  return unknown === "" ? "" : `invalid TokenReview: ${unknown}`;
}

async function reviewToken({ domain, signal, log }: RequestContext, review: TokenReview) {
  const user = await domain.authTokens.check(review.spec.token, signal).catch((error: unknown) => {
    log.error({ err: error }, "Cannot check an authentication token");
    return undefined;
  });
  if (user === undefined) return { status: 401, body: rejected(review, "invalid token") };
  const { username, groups } = user;
  const { audiences } = review.spec;
  const status = {
    ...(audiences === undefined ? {} : { audiences }),
    authenticated: true,
    user: { uid: username, username, groups },
  };
  return { status: 200, body: { ...typeOf(review), spec: review.spec, status } };
}

function rejected(review: Pick<TokenReview, "spec"> & Partial<TokenReview>, error: string) {
  return { ...typeOf(review), spec: review.spec, status: { authenticated: false, error, user: {} } };
}

/** What we do not know is answered as what we do know. */
function typeOf({ apiVersion = "" }: Partial<TokenReview>) {
  return { apiVersion: versions.includes(apiVersion) ? apiVersion : versions[0], kind: "TokenReview" };
}
