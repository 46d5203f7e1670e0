import type { Role } from "../components/component.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { AppError } from "../lib/app-error.ts";
import type { Exclusive } from "../lib/exclusive.ts";
import type { Audit } from "../node-db/audit.ts";
import type { ClusterConfig } from "./config/types.ts";
import { giveBack } from "./ledger-give-back.ts";
import { asClaimed, placeFor } from "./ledger-place.ts";
import {
  configKey,
  type MemberRecord,
  memberKey,
  nameKey,
  podSubnetsPrefix,
  type StoredMember,
} from "./ledger-records.ts";
import { createLedgerStore, type Stored, untilSwapped } from "./ledger-store.ts";
import { lowestFree, podSubnetCount } from "./ledger-subnets.ts";
import { moved } from "./ledger-transitions.ts";
import type { JoinTokens } from "./tokens.ts";
import {
  hasFreeUse,
  type JoinTokenRecord,
  refusal,
  type StoredToken,
  staleHolds,
  tokenKey,
  withHold,
  withoutHold,
} from "./tokens-rules.ts";

/** A node that asks to come in. Who calls has proved that it holds the key. */
export interface Claim {
  readonly secret: string;
  readonly nodeId: string;
  readonly name: string;
  readonly role: Role;
  readonly publicKeyFingerprint: string;
  readonly meshPeer?: string;
  readonly addresses: readonly string[];
  readonly k8sdAddress: string;
  readonly versions: Readonly<Record<string, string>>;
  /** The address it calls from. */
  readonly source: string;
}

export interface Reservation {
  /** `active` when an earlier attempt of this node got through. */
  readonly member: MemberRecord;
  /** Until then the node has to be heard of again; undefined when it is a member already. */
  readonly heldUntil: number | undefined;
}

/**
 * The way of a node into the ledger. Token, name and part of the pod range are held together or not at all, and each step
 * can be asked for again.
 *
 *   reserve ─► begin ─► commit          the use of the token is spent
 *      └─────────┴─────► release        all that was held is free again; so it is when the hold ends
 */
export interface Admission {
  reserve(claim: Claim, signal: AbortSignal): Promise<Reservation>;
  /** The node has what it needs and sets itself up. */
  begin(nodeId: string, signal: AbortSignal): Promise<Reservation>;
  /** The node is alive and still at it. */
  renew(nodeId: string, signal: AbortSignal): Promise<Reservation>;
  commit(nodeId: string, signal: AbortSignal): Promise<MemberRecord>;
  /** For a node that has undone what it did. */
  release(nodeId: string, signal: AbortSignal): Promise<void>;
}

export interface AdmissionOptions {
  /** How long a node may be silent during its join before what is held for it goes to others. */
  readonly holdMs: number;
}

/** Longer than any step of a join takes, shorter than a person waits before trying again. */
export const defaultHoldMs = 600_000;

export interface AdmissionDeps {
  readonly datastore: Pick<Datastore, "range" | "txn">;
  readonly tokens: Pick<JoinTokens, "find">;
  /** Those who join through this node take turns; only with other control planes it comes to lost races. */
  readonly turns: Exclusive;
  readonly audit: Audit;
  readonly now: () => number;
}

export function createAdmission({ holdMs }: AdmissionOptions, deps: AdmissionDeps): Admission {
  const { tokens, turns, audit, now } = deps;
  const store = createLedgerStore(deps.datastore);

  const refuse = (claim: Claim, reason: string, details: { remedy?: string; retryable?: boolean } = {}): never => {
    record("reserve", claim.nodeId, reason, { name: claim.name, source: claim.source });
    throw new AppError("conflict", `cannot join as ${claim.name}: ${reason}`, details);
  };
  const record = (action: string, nodeId: string, outcome: string, details: Record<string, string>): void => {
    audit.record({ actor: `node ${nodeId}`, action: `join-token.${action}`, outcome, details });
  };

  async function reserve(claim: Claim, signal: AbortSignal): Promise<Reservation | undefined> {
    const found = await tokens.find(claim.secret, claim.source, signal);
    const { id } = found.value;
    const keys = [memberKey(claim.nodeId), nameKey(claim.name), tokenKey(id), configKey];
    const [member, owner, token, config] = (await store.readAll(keys, signal)) as [
      Stored<StoredMember> | undefined,
      Stored<string> | undefined,
      StoredToken | undefined,
      Stored<ClusterConfig> | undefined,
    ];
    if (token === undefined) return undefined;
    if (member !== undefined && member.value.state !== "removed") {
      return again(claim, member, token, signal);
    }
    const reason = refusal(token.value, claim, now());
    if (reason !== undefined) return refuse(claim, reason);
    if (!hasFreeUse(token.value)) {
      if (await endStaleHolds(token.value, signal)) return undefined;
      return refuse(claim, "another node is joining with this token", {
        remedy: "Wait until it has joined or given up, or create another token.",
        retryable: true,
      });
    }
    if (owner !== undefined) return takenName(claim, owner.value, signal);
    const index = await freeSubnet(config?.value, signal);
    if (index === undefined) {
      return refuse(claim, "no part of pod-cidr is left for another node", {
        remedy: "Remove a node; a wider pod-cidr can only be given to a new cluster.",
      });
    }
    const at = now();
    const heldUntil = at + holdMs;
    const place = placeFor(claim, { before: member, token, podSubnetIndex: index, at, heldUntil });
    const revision = await store.swap(place.guards, place.writes, signal);
    if (revision === undefined) return undefined;
    record("reserve", claim.nodeId, "ok", { id, name: claim.name, source: claim.source });
    return { member: { ...place.member, revision }, heldUntil };
  }

  /** The node is known: it lost our answer, or goes on after a crash. */
  async function again(
    claim: Claim,
    seen: Stored<StoredMember>,
    token: StoredToken,
    signal: AbortSignal,
  ): Promise<Reservation | undefined> {
    const member = seen.value;
    if (member.publicKeyFingerprint !== claim.publicKeyFingerprint) {
      return refuse(claim, "its id belongs to another node");
    }
    if (member.state === "leaving") {
      return refuse(claim, "the node is being removed", {
        remedy: "Try again when 'k8s status' does not show it any more.",
        retryable: true,
      });
    }
    const isSame = member.name === claim.name && member.role === claim.role;
    if (!isSame || member.token !== token.value.id) {
      if (member.state === "active") {
        return refuse(claim, `the node is a member already, with the name ${member.name}`, {
          remedy: `Remove it with 'k8s remove-node ${member.name}', then join again.`,
        });
      }
      const reason = refusal(token.value, claim, now());
      if (reason !== undefined) return refuse(claim, reason);
      // The old attempt is given up; what it held must not stand in the way of the new one.
      await giveBack(store, { nodeId: claim.nodeId, why: "released", at: now() }, signal);
      return undefined;
    }
    if (member.state !== "active" && token.value.revokedAt !== undefined) return refuse(claim, "the token was revoked");
    const next = asClaimed(member, claim);
    if (member.state !== "active") return hold(seen, token, next, signal);
    if (next === member) return { member: { ...member, revision: seen.revision }, heldUntil: undefined };
    const key = memberKey(member.id);
    const revision = await store.swap([{ key, seen }], [{ key, value: next }], signal);
    return revision === undefined ? undefined : { member: { ...next, revision }, heldUntil: undefined };
  }

  async function hold(
    seen: Stored<StoredMember>,
    token: StoredToken,
    next: StoredMember,
    signal: AbortSignal,
  ): Promise<Reservation | undefined> {
    const heldUntil = now() + holdMs;
    const [member, held] = [memberKey(next.id), tokenKey(token.value.id)];
    const revision = await store.swap(
      [
        { key: member, seen },
        { key: held, seen: token },
      ],
      [
        ...(next === seen.value ? [] : [{ key: member, value: next }]),
        { key: held, value: withHold(token.value, next.id, heldUntil) },
      ],
      signal,
    );
    if (revision === undefined) return undefined;
    return { member: { ...next, revision: next === seen.value ? seen.revision : revision }, heldUntil };
  }

  async function takenName(claim: Claim, ownerId: string, signal: AbortSignal): Promise<undefined> {
    const owner = await store.read<StoredMember>(memberKey(ownerId), signal);
    const token = owner?.value.token && (await store.read<JoinTokenRecord>(tokenKey(owner.value.token), signal));
    if (owner === undefined) return undefined;
    if (token && staleHolds(token.value, now()).includes(ownerId)) {
      await giveBack(store, { nodeId: ownerId, why: "expired", at: now() }, signal);
      record("expire", ownerId, "ok", { name: claim.name });
      // One that had begun keeps its name until what it set up is gone.
      if (owner.value.state === "reserved") return undefined;
    }
    const joining = owner.value.state === "reserved" || owner.value.state === "joining";
    return refuse(claim, `a node with this name ${joining ? "is joining" : "is a member"} already`, {
      remedy: joining
        ? "Wait until it has joined or given up, or join with another --name."
        : "Remove it with 'k8s remove-node', or join with another --name.",
      retryable: joining,
    });
  }

  async function endStaleHolds(token: JoinTokenRecord, signal: AbortSignal): Promise<boolean> {
    const nodes = staleHolds(token, now());
    for (const nodeId of nodes) {
      await giveBack(store, { nodeId, why: "expired", at: now(), token: token.id }, signal);
      record("expire", nodeId, "ok", { id: token.id });
    }
    return nodes.length > 0;
  }

  async function freeSubnet(config: ClusterConfig | undefined, signal: AbortSignal): Promise<number | undefined> {
    const taken = await store.keys(podSubnetsPrefix, signal);
    const limit = podSubnetCount(config ?? { network: {} });
    return lowestFree(
      taken.map((key) => Number(key.slice(podSubnetsPrefix.length))),
      limit,
    );
  }

  /** A member that is on its way in, and its token. */
  async function joiner(nodeId: string, signal: AbortSignal) {
    const member = await store.read<StoredMember>(memberKey(nodeId), signal);
    const gone = (reason: string) =>
      new AppError("conflict", `cannot go on with the join of ${member?.value.name ?? nodeId}: ${reason}`, {
        remedy: "Start again with 'k8s join-cluster'.",
      });
    if (member === undefined || member.value.state === "removed" || member.value.state === "leaving") {
      throw gone("what was held for it is not any more");
    }
    const { token: id = "" } = member.value;
    if (member.value.state === "active") return { member, token: undefined };
    const token = await store.read<JoinTokenRecord>(tokenKey(id), signal);
    if (token === undefined || token.value.revokedAt !== undefined) throw gone("its token was revoked");
    return { member, token };
  }

  async function touch(nodeId: string, begin: boolean, signal: AbortSignal): Promise<Reservation> {
    return untilSwapped("go on with a join", signal, async (abort) => {
      const { member, token } = await joiner(nodeId, abort);
      const { value, revision } = member;
      if (token === undefined) return { member: { ...value, revision }, heldUntil: undefined };
      const next = begin && value.state === "reserved" ? moved(value, "joining", now()) : value;
      return hold(member, token, next, abort);
    });
  }

  return {
    reserve: (claim, signal) =>
      turns.run("reserve", signal, () => untilSwapped("reserve a place", signal, (abort) => reserve(claim, abort))),
    begin: (nodeId, signal) => touch(nodeId, true, signal),
    renew: (nodeId, signal) => touch(nodeId, false, signal),

    commit: async (nodeId, signal) =>
      untilSwapped("finish a join", signal, async (abort) => {
        const { member, token } = await joiner(nodeId, abort);
        if (token === undefined) return { ...member.value, revision: member.revision };
        const next = moved(member.value, "active", now());
        const spent = { ...withoutHold(token.value, nodeId), used: token.value.used + 1 };
        const [key, held] = [memberKey(nodeId), tokenKey(token.value.id)];
        const revision = await store.swap(
          [
            { key, seen: member },
            { key: held, seen: token },
          ],
          [
            { key, value: next },
            { key: held, value: spent },
          ],
          abort,
        );
        if (revision === undefined) return undefined;
        record("commit", nodeId, "ok", { id: token.value.id, name: next.name });
        return { ...next, revision };
      }),

    release: async (nodeId, signal) => {
      const released = await giveBack(store, { nodeId, why: "released", at: now() }, signal);
      if (released) record("release", nodeId, "ok", {});
    },
  };
}
