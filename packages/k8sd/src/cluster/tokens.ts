import { randomBytes } from "node:crypto";
import type { Role } from "../components/component.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { AppError } from "../lib/app-error.ts";
import type { Audit } from "../node-db/audit.ts";
import { constantTimeEqual } from "../pki/expiry.ts";
import type { Asker } from "./audited.ts";
import { parseCidr } from "./config/cidr.ts";
import { createLedgerStore, type Guard, untilSwapped, type Write } from "./ledger-store.ts";
import type { Seal } from "./seal.ts";
import {
  hashOfSecret,
  idOfHash,
  type JoinTokenRecord,
  refusal,
  type StoredToken,
  type TokenClaim,
  tokenKey,
  tokenNameKey,
  tokenState,
  tokensPrefix,
} from "./tokens-rules.ts";
import type { Throttle } from "./tokens-throttle.ts";

export interface TokenOrder {
  readonly role: Role;
  /** Cleaned. "" = a node of any name; only for workers. */
  readonly name: string;
  /** 0 = 24 hours. */
  readonly ttlMs: number;
  /** How many nodes may join with it; more than one only for workers of any name. */
  readonly uses: number;
  /** Where the node may call from; none = from anywhere. */
  readonly cidrs: readonly string[];
}

export interface IssuedToken {
  readonly secret: string;
  readonly token: JoinTokenRecord;
}

export interface JoinTokens {
  /**
   * A control plane that is asked for again gets the same secret while its token is valid, with the life and the binding
   * of the new request. A worker gets a new one each time.
   */
  create(order: TokenOrder, caller: Asker, signal: AbortSignal): Promise<IssuedToken>;
  /** The oldest first. */
  list(signal: AbortSignal): Promise<readonly JoinTokenRecord[]>;
  /** At once, also for nodes whose join is not finished. Again is no error. */
  revoke(id: string, caller: Asker, signal: AbortSignal): Promise<void>;
  /** The token with this secret in whatever state. Wrong secrets are counted per source, and refused above the limit. */
  find(secret: string, source: string, signal: AbortSignal): Promise<StoredToken>;
  /** The token if this node may join with it now, without a change to it. */
  check(secret: string, claim: TokenClaim, signal: AbortSignal): Promise<JoinTokenRecord | undefined>;
}

export interface JoinTokensDeps {
  readonly datastore: Pick<Datastore, "range" | "txn">;
  readonly seal: Pick<Seal, "derive">;
  readonly audit: Audit;
  readonly throttle: Throttle;
  readonly now: () => number;
}

const defaultTtlMs = 86_400_000;
/** Whoever needs one for longer can ask again. */
const maxTtlMs = 10 * 365 * 86_400_000;
const maxUses = 1_000;
const maxCidrs = 32;
/** Far above any cluster's need; a caller in a loop must not fill the datastore. */
const maxTokens = 4_096;
/** The longest secret has 64 characters. */
const maxSecretLength = 256;

export function createJoinTokens(deps: JoinTokensDeps): JoinTokens {
  const { seal, audit, throttle, now } = deps;
  const store = createLedgerStore(deps.datastore);

  function secretOf({ role, nonce }: Pick<JoinTokenRecord, "role" | "nonce">): string {
    const derived = seal.derive(JSON.stringify(["join-token", role, nonce]));
    return role === "worker" ? `worker::${derived.slice(0, 40)}` : derived;
  }

  function issue(order: TokenOrder): IssuedToken {
    const { role, name, uses, cidrs, ttlMs } = order;
    const nonce = randomBytes(32).toString("hex");
    const secret = secretOf({ role, nonce });
    const hash = hashOfSecret(secret);
    const createdAt = now();
    const id = idOfHash(hash);
    const expiresAt = createdAt + ttlMs;
    return { secret, token: { id, hash, nonce, role, name, cidrs, uses, used: 0, holds: {}, createdAt, expiresAt } };
  }

  /** The valid token that this control plane has already, with the life and the binding that are asked for now. */
  async function renewed(id: string, order: TokenOrder, signal: AbortSignal) {
    const seen = await store.read<JoinTokenRecord>(tokenKey(id), signal);
    if (seen === undefined || tokenState(seen.value, now()) !== "valid") return undefined;
    const secret = secretOf(seen.value);
    // After a change of the seal's key the old secret cannot be told any more.
    if (!constantTimeEqual(hashOfSecret(secret), seen.value.hash)) return undefined;
    const token = { ...seen.value, cidrs: order.cidrs, expiresAt: now() + order.ttlMs };
    return { secret, token, guard: { key: tokenKey(id), seen } };
  }

  async function create(order: TokenOrder, signal: AbortSignal): Promise<IssuedToken | undefined> {
    const named = order.role === "control-plane";
    const nameKey = tokenNameKey(order.name);
    const index = named ? await store.read<string>(nameKey, signal) : undefined;
    const known = index && (await renewed(index.value, order, signal));
    const { secret, token } = known ?? issue(order);
    const guards: Guard[] = [known?.guard ?? { key: tokenKey(token.id), seen: undefined }];
    const writes: Write[] = [{ key: tokenKey(token.id), value: token }];
    if (named) {
      guards.push({ key: nameKey, seen: index });
      writes.push({ key: nameKey, value: token.id });
    }
    return (await store.swap(guards, writes, signal)) === undefined ? undefined : { secret, token };
  }

  async function find(secret: string, source: string, signal: AbortSignal): Promise<StoredToken> {
    const waitMs = throttle.wait(source);
    if (waitMs > 0) {
      throw new AppError("unauthorized", `too many invalid tokens from ${source}`, {
        remedy: `Try again in ${Math.ceil(waitMs / 1_000)} s.`,
        retryable: true,
      });
    }
    const hash = hashOfSecret(secret.slice(0, maxSecretLength));
    const seen = await store.read<JoinTokenRecord>(tokenKey(idOfHash(hash)), signal);
    if (seen !== undefined && constantTimeEqual(seen.value.hash, hash)) return seen;
    throttle.failed(source);
    audit.record({ actor: "unknown", action: "join-token.find", outcome: "no such token", details: { source } });
    throw new AppError("unauthorized", "invalid token", {
      remedy: "Create a new one with 'k8s get-join-token' on a control plane.",
    });
  }

  return {
    create: async (wanted, caller, signal) => {
      const order = checked(wanted);
      const known = await store.keys(tokensPrefix, signal);
      if (known.length >= maxTokens) {
        throw new AppError("conflict", `cannot create a join token: there are ${maxTokens} already`, {
          remedy: "Look at them with 'k8s tokens' and revoke what is not needed with 'k8s revoke-token ID'.",
        });
      }
      const issued = await untilSwapped("create a join token", signal, (abort) => create(order, abort));
      const { id, role, name, uses, expiresAt } = issued.token;
      audit.record({
        actor: caller.actor,
        action: "join-token.create",
        outcome: "ok",
        details: { source: caller.source, id, role, name, uses, expires: new Date(expiresAt).toISOString() },
      });
      return issued;
    },

    list: async (signal) => {
      const tokens = await store.list<JoinTokenRecord>(tokensPrefix, signal);
      return tokens.map(({ value }) => value).sort((a, b) => a.createdAt - b.createdAt);
    },

    revoke: async (id, caller, signal) => {
      const unknown = () =>
        new AppError("not-found", `cannot revoke join token ${JSON.stringify(id)}: there is none with this id`, {
          remedy: "'k8s tokens' lists them.",
        });
      if (!/^[\da-f]{12}$/.test(id)) throw unknown();
      await untilSwapped("revoke a join token", signal, async (abort) => {
        const seen = await store.read<JoinTokenRecord>(tokenKey(id), abort);
        if (seen === undefined) throw unknown();
        if (seen.value.revokedAt !== undefined) return true;
        const value: JoinTokenRecord = { ...seen.value, revokedAt: now() };
        const swapped = await store.swap([{ key: tokenKey(id), seen }], [{ key: tokenKey(id), value }], abort);
        return swapped === undefined ? undefined : true;
      });
      const details = { source: caller.source, id };
      audit.record({ actor: caller.actor, action: "join-token.revoke", outcome: "ok", details });
    },

    find,

    check: async (secret, claim, signal) => {
      const { value } = await find(secret, claim.source, signal);
      return refusal(value, claim, now()) === undefined ? value : undefined;
    },
  };
}

/** The order with its defaults, if it can be had. */
function checked(order: TokenOrder): TokenOrder {
  const invalid = (field: string, reason: string, remedy: string) =>
    new AppError("invalid", `cannot create a join token: ${reason}`, { field, remedy });
  if (order.role === "control-plane" && order.name === "") {
    throw invalid("name", "a node name is required for control-plane nodes", "Give the name that the node will have.");
  }
  if (!Number.isInteger(order.uses) || order.uses < 1 || order.uses > maxUses) {
    throw invalid("uses", `uses must be between 1 and ${maxUses}`, "For more nodes create more tokens.");
  }
  if (order.uses > 1 && (order.role !== "worker" || order.name !== "")) {
    const remedy = "Create one for a worker without a name, or one token for each node.";
    throw invalid("uses", "uses can only be more than 1 for workers of any name", remedy);
  }
  const wrong = order.cidrs.find((cidr) => parseCidr(cidr) === undefined);
  if (wrong !== undefined) {
    const reason = `cidrs holds ${JSON.stringify(wrong)}, which is not a CIDR`;
    throw invalid("cidrs", reason, "Give networks such as 10.0.0.0/24, and a single address as 10.0.0.5/32.");
  }
  if (order.cidrs.length > maxCidrs) {
    throw invalid("cidrs", `cidrs can hold at most ${maxCidrs}`, "Give wider networks.");
  }
  if (order.ttlMs > maxTtlMs) {
    throw invalid("ttl", "ttl can be at most ten years", "Give less; a new token can be created at any time.");
  }
  return { ...order, ttlMs: order.ttlMs === 0 ? defaultTtlMs : order.ttlMs };
}
