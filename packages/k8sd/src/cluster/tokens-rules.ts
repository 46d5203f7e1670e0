import { createHash } from "node:crypto";
import type { Role } from "../components/component.ts";
import { contains, parseCidr, parseIp } from "./config/cidr.ts";
import type { Stored } from "./ledger-store.ts";

/** A join token as it is stored: without the secret. */
export interface JoinTokenRecord {
  /** The first twelve digits of the hash: enough to name it, worth nothing to whoever wants to join. */
  readonly id: string;
  /**
   * SHA-256 of the secret. No salt and no slow hash: those help against guessing what people think up, and the secret is
   * 160 random bits or more.
   */
  readonly hash: string;
  /** What the secret is derived from, together with the key of the seal. */
  readonly nonce: string;
  readonly role: Role;
  /** "" = a node of any name. */
  readonly name: string;
  /** Where the node may call from; none = from anywhere. */
  readonly cidrs: readonly string[];
  /** How many nodes may join with it, and how many have. */
  readonly uses: number;
  readonly used: number;
  /** Uses that are held for nodes whose join is not finished: node id to when the hold ends. */
  readonly holds: Readonly<Record<string, number>>;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly revokedAt?: number;
}

export type JoinTokenState = "valid" | "used-up" | "expired" | "revoked";

/** Who wants to join with it. */
export interface TokenClaim {
  readonly role: Role;
  readonly name: string;
  /** The address it calls from. */
  readonly source: string;
}

export const tokensPrefix = "k8sd/tokens/join/";
const tokenNamesPrefix = "k8sd/tokens/join-names/";

export const tokenKey = (id: string): string => tokensPrefix + id;
/** Names the token that a control plane of this name gets when it is asked for again. */
export const tokenNameKey = (name: string): string => tokenNamesPrefix + name;

export function hashOfSecret(secret: string): string {
  return createHash("sha256").update(secret, "utf8").digest("hex");
}

export function idOfHash(hash: string): string {
  return hash.slice(0, 12);
}

export function tokenState(token: JoinTokenRecord, now: number): JoinTokenState {
  if (token.revokedAt !== undefined) return "revoked";
  if (token.used >= token.uses) return "used-up";
  return token.expiresAt <= now ? "expired" : "valid";
}

/** When it stopped to be good for anything; undefined while it is. */
export function endedAt(token: JoinTokenRecord, now: number): number | undefined {
  const state = tokenState(token, now);
  if (state === "valid") return undefined;
  // When it was used up is not recorded; after its expiry nobody looks for it any more.
  return state === "revoked" ? token.revokedAt : token.expiresAt;
}

/** Why this node may not join with it now, holds of others aside; undefined: it may. */
export function refusal(token: JoinTokenRecord, claim: TokenClaim, now: number): string | undefined {
  switch (tokenState(token, now)) {
    case "revoked":
      return "the token was revoked";
    case "used-up":
      return "the token is used up";
    case "expired":
      return `the token expired at ${new Date(token.expiresAt).toISOString()}`;
    case "valid":
      break;
  }
  if (token.role !== claim.role) return `the token is for a ${token.role} node, not for a ${claim.role} node`;
  if (token.name !== "" && token.name !== claim.name) {
    return `the token is for a node with the name ${JSON.stringify(token.name)}`;
  }
  if (token.cidrs.length > 0 && !isWithin(token.cidrs, claim.source)) {
    return `the token cannot be used from ${claim.source}, only from ${token.cidrs.join(", ")}`;
  }
  return undefined;
}

export function hasFreeUse(token: JoinTokenRecord): boolean {
  return token.used + Object.keys(token.holds).length < token.uses;
}

/** Nodes whose hold is over: they did not come back in time, or the token was taken from them. */
export function staleHolds(token: JoinTokenRecord, now: number): readonly string[] {
  return Object.entries(token.holds).flatMap(([node, until]) =>
    until <= now || token.revokedAt !== undefined ? [node] : [],
  );
}

export function withHold(token: JoinTokenRecord, node: string, until: number): JoinTokenRecord {
  return { ...token, holds: { ...token.holds, [node]: until } };
}

export function withoutHold(token: JoinTokenRecord, node: string): JoinTokenRecord {
  const { [node]: _ended, ...holds } = token.holds;
  return { ...token, holds };
}

export type StoredToken = Stored<JoinTokenRecord>;

function isWithin(cidrs: readonly string[], source: string): boolean {
  const ip = parseIp(source.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, ""));
  return (
    ip !== undefined &&
    cidrs.some((text) => {
      const cidr = parseCidr(text);
      return cidr !== undefined && contains(cidr, ip);
    })
  );
}
