import { AppError } from "../lib/app-error.ts";
import { freed } from "./ledger.ts";
import { memberKey, type StoredMember } from "./ledger-records.ts";
import { type Guard, type LedgerStore, untilSwapped, type Write } from "./ledger-store.ts";
import { moved, tombstone } from "./ledger-transitions.ts";
import { type JoinTokenRecord, staleHolds, tokenKey, withoutHold } from "./tokens-rules.ts";

export interface GiveBack {
  readonly nodeId: string;
  /** released: the node undid what it did. expired: nobody knows what it left behind. */
  readonly why: "released" | "expired";
  readonly at: number;
  /** Whose hold it is; without it, the token that the member came with. */
  readonly token?: string;
}

/**
 * Ends a join that is not finished: the use of the token is free again, and with it, unless the node may have left
 * something behind, its name and its part of the pod range. @returns whether there was something to give back
 */
export async function giveBack(store: LedgerStore, order: GiveBack, signal: AbortSignal): Promise<boolean> {
  const { nodeId, why, at } = order;
  return untilSwapped("give back what is held for a node", signal, async (abort) => {
    const key = memberKey(nodeId);
    const member = await store.read<StoredMember>(key, abort);
    const tokenId = order.token ?? member?.value.token;
    const held = tokenId === undefined ? undefined : tokenKey(tokenId);
    const token = held === undefined ? undefined : await store.read<JoinTokenRecord>(held, abort);
    if (why === "expired" && (token === undefined || !staleHolds(token.value, at).includes(nodeId))) return false;
    const guards: Guard[] = [{ key, seen: member }];
    const writes: Write[] = [];
    if (held !== undefined && token !== undefined && nodeId in token.value.holds) {
      guards.push({ key: held, seen: token });
      writes.push({ key: held, value: withoutHold(token.value, nodeId) });
    }
    if (member !== undefined && member.value.token === tokenId) writes.push(...ending(member.value, why, at));
    if (writes.length === 0) return false;
    return (await store.swap(guards, writes, abort)) === undefined ? undefined : true;
  });
}

function ending(member: StoredMember, why: GiveBack["why"], at: number): readonly Write[] {
  const key = memberKey(member.id);
  switch (member.state) {
    case "reserved":
      return [{ key, value: tombstone(member, at) }, ...freed(member)];
    case "joining":
      if (why === "expired") return [{ key, value: moved(member, "leaving", at) }];
      return [{ key, value: tombstone(member, at) }, ...freed(member)];
    case "active":
    case "leaving":
      if (why === "expired") return [];
      throw new AppError("conflict", `cannot take back the join of ${member.name}: it is ${member.state}`, {
        remedy: "Remove it with 'k8s remove-node'.",
      });
    case "removed":
      return [];
  }
}
