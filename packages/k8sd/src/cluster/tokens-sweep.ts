import type { Datastore } from "../datastore/datastore.ts";
import type { Audit } from "../node-db/audit.ts";
import { giveBack } from "./ledger-give-back.ts";
import { memberKey, membersPrefix, type StoredMember } from "./ledger-records.ts";
import { createLedgerStore, type Guard, type Write } from "./ledger-store.ts";
import {
  endedAt,
  type JoinTokenRecord,
  type StoredToken,
  staleHolds,
  tokenKey,
  tokenNameKey,
  tokensPrefix,
} from "./tokens-rules.ts";

export interface SweepDeps {
  readonly datastore: Pick<Datastore, "range" | "txn">;
  readonly audit: Audit;
  readonly now: () => number;
}

export interface Swept {
  readonly holds: number;
  readonly tokens: number;
  readonly tombstones: number;
}

/** An ended token is listed for a day, so that people see what became of it. */
const keepTokensMs = 86_400_000;
/** A node that was away for a month and comes back has forgotten nothing but its certificates. */
const keepTombstonesMs = 30 * 86_400_000;

/**
 * Ends holds of nodes that did not come back, forgets tokens that ended and tombstones that are old. Every control plane
 * may do it at any time: what two do at once, one of them does.
 */
export async function sweepTokens(deps: SweepDeps, signal: AbortSignal): Promise<Swept> {
  const store = createLedgerStore(deps.datastore);
  const swept = { holds: 0, tokens: 0, tombstones: 0 };
  const at = deps.now();
  for (const { value: token } of await store.list<JoinTokenRecord>(tokensPrefix, signal)) {
    for (const nodeId of staleHolds(token, at)) {
      if (!(await giveBack(store, { nodeId, why: "expired", at, token: token.id }, signal))) continue;
      swept.holds += 1;
      const details = { id: token.id };
      deps.audit.record({ actor: `node ${nodeId}`, action: "join-token.expire", outcome: "ok", details });
    }
  }
  for (const seen of await store.list<JoinTokenRecord>(tokensPrefix, signal)) {
    const ended = endedAt(seen.value, at);
    if (ended === undefined || ended + keepTokensMs > at || Object.keys(seen.value.holds).length > 0) continue;
    if (await forget(seen)) swept.tokens += 1;
  }
  for (const seen of await store.list<StoredMember>(membersPrefix, signal)) {
    const { id, state, changedAt } = seen.value;
    if (state !== "removed" || changedAt + keepTombstonesMs > at) continue;
    const key = memberKey(id);
    if ((await store.swap([{ key, seen }], [{ key, value: undefined }], signal)) !== undefined) swept.tombstones += 1;
  }
  return swept;

  async function forget(seen: StoredToken): Promise<boolean> {
    const { id, role, name } = seen.value;
    const guards: Guard[] = [{ key: tokenKey(id), seen }];
    const writes: Write[] = [{ key: tokenKey(id), value: undefined }];
    if (role === "control-plane") {
      const key = tokenNameKey(name);
      const index = await store.read<string>(key, signal);
      // Another token may have the name by now.
      if (index?.value === id) {
        guards.push({ key, seen: index });
        writes.push({ key, value: undefined });
      }
    }
    return (await store.swap(guards, writes, signal)) !== undefined;
  }
}
