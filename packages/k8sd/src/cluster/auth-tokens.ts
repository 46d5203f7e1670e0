import { createHash } from "node:crypto";
import { AppError } from "../lib/app-error.ts";
import type { Records } from "./records.ts";
import type { Seal } from "./seal.ts";

export interface TokenUser {
  readonly username: string;
  readonly groups: readonly string[];
}

interface TokenRecord extends TokenUser {
  /** Counts the tokens that this user with these groups has had: a revoked one never comes back. */
  readonly generation: number;
}

interface UserRecord {
  readonly generation: number;
  readonly revoked: boolean;
}

const prefix = "token::";
const tokens = "k8sd/auth-tokens/by-hash/";
const users = "k8sd/auth-tokens/by-user/";

export interface AuthTokens {
  /** The same user with the same set of groups gets the same token, until it is revoked. */
  create(user: TokenUser, signal: AbortSignal): Promise<string>;
  revoke(token: string, signal: AbortSignal): Promise<void>;
  check(token: string, signal: AbortSignal): Promise<TokenUser | undefined>;
}

/** Tokens for kube-apiserver's webhook. The datastore holds their hashes; the token itself follows from the seal's key. */
export function createAuthTokens(records: Records, seal: Seal): AuthTokens {
  const hashKey = (token: string): string => tokens + createHash("sha256").update(token).digest("hex");
  const userKey = (user: TokenUser): string =>
    users +
    createHash("sha256")
      .update(JSON.stringify([user.username, user.groups]))
      .digest("hex");
  const tokenOf = (user: TokenUser, generation: number): string =>
    prefix + seal.derive(JSON.stringify(["auth-token", user.username, user.groups, generation])).slice(0, 40);

  return {
    create: async (wanted, signal) => {
      const user = checked(wanted);
      const known = await records.get<UserRecord>(userKey(user), signal);
      const generation = known === undefined ? 1 : known.generation + (known.revoked ? 1 : 0);
      const token = tokenOf(user, generation);
      await records.put<UserRecord>(userKey(user), { generation, revoked: false }, signal);
      await records.put<TokenRecord>(hashKey(token), { ...user, generation }, signal);
      return token;
    },
    revoke: async (token, signal) => {
      if (token === "") throw new AppError("invalid", "token cannot be empty", { field: "token" });
      const record = await records.get<TokenRecord>(hashKey(token), signal);
      if (record === undefined) return;
      await records.put<UserRecord>(userKey(record), { generation: record.generation, revoked: true }, signal);
      await records.delete(hashKey(token), signal);
    },
    check: async (token, signal) => {
      if (!token.startsWith(prefix)) return undefined;
      const record = await records.get<TokenRecord>(hashKey(token), signal);
      return record && { username: record.username, groups: record.groups };
    },
  };
}

function checked(user: TokenUser): TokenUser {
  if (user.username === "") throw new AppError("invalid", "username cannot be empty", { field: "username" });
  const groups = [...user.groups].sort();
  if (groups.includes("")) throw new AppError("invalid", "invalid groups: group cannot be empty", { field: "groups" });
  const twice = groups.find((group, index) => groups[index + 1] === group);
  if (twice !== undefined) {
    throw new AppError("invalid", `invalid groups: duplicate group ${twice}`, { field: "groups" });
  }
  return { username: user.username, groups };
}
