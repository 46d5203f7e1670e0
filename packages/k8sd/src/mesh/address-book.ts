import { limits } from "./codec.ts";
import type { NodeAddresses } from "./messages.ts";
import type { NodeId } from "./types.ts";

/** A node as this one last knew it; kept over restarts so that a node comes back without the datastore. */
export interface CachedPeer {
  readonly id: NodeId;
  readonly addresses: readonly string[];
  readonly incarnation: number;
}

/** Storage is the caller's. Losing it costs nothing while the ledger's addresses are still right. */
export interface PeerCache {
  load(): readonly CachedPeer[];
  save(peers: readonly CachedPeer[]): void;
}

/** Where nodes can be reached: what they said themselves, what the ledger says, what worked before. */
export interface AddressBook {
  /** From the ledger: everything there is about these nodes; others are forgotten. */
  setLedger(nodes: readonly { readonly id: NodeId; readonly addresses: readonly string[] }[]): void;
  /** @returns true when it is news: newer than what was known of the node, and different */
  learn(entry: NodeAddresses): boolean;
  /** The most promising first. */
  of(id: NodeId): readonly string[];
  /** What nodes said of themselves that the ledger does not say. */
  deviations(): readonly NodeAddresses[];
  /** Writes everything to the cache. */
  save(): void;
}

/** @param changed is called when there is something to save; `save` may come later, for many changes at once */
export function createAddressBook(cache: PeerCache, changed: () => void): AddressBook {
  const ledger = new Map<NodeId, readonly string[]>();
  const told = new Map<NodeId, NodeAddresses>();
  const former = new Map<NodeId, readonly string[]>();
  /** Nodes of which the ledger was heard later than what they said themselves. */
  const outdated = new Set<NodeId>();
  for (const { id, addresses, incarnation } of cache.load()) {
    former.set(id, addresses);
    told.set(id, { id, addresses, incarnation });
    outdated.add(id);
  }

  const of = (id: NodeId): readonly string[] => {
    const own = told.get(id)?.addresses ?? [];
    const recorded = ledger.get(id) ?? [];
    const best = outdated.has(id) ? [...recorded, ...own] : [...own, ...recorded];
    return [...new Set([...best, ...(former.get(id) ?? [])])].slice(0, limits.addressesPerNode);
  };
  const save = (): void => {
    cache.save(
      [...new Set([...ledger.keys(), ...told.keys()])].map((id) => ({
        id,
        addresses: of(id),
        incarnation: told.get(id)?.incarnation ?? 0,
      })),
    );
  };

  return {
    setLedger: (nodes) => {
      const known = new Set(nodes.map(({ id }) => id));
      for (const id of told.keys()) if (!known.has(id)) told.delete(id);
      for (const id of former.keys()) if (!known.has(id)) former.delete(id);
      for (const id of outdated) if (!known.has(id)) outdated.delete(id);
      for (const { id, addresses } of nodes) {
        const before = ledger.get(id);
        if (before !== undefined && !sameList(before, addresses)) outdated.add(id);
      }
      ledger.clear();
      for (const { id, addresses } of nodes) ledger.set(id, addresses);
      changed();
    },
    learn: (entry) => {
      const known = told.get(entry.id);
      if (known !== undefined && known.incarnation >= entry.incarnation) return false;
      if (ledger.size > 0 && !ledger.has(entry.id)) return false;
      const before = of(entry.id);
      const news = !sameList(entry.addresses, known?.addresses ?? ledger.get(entry.id) ?? []);
      told.set(entry.id, entry);
      outdated.delete(entry.id);
      // Old addresses stay behind the new ones: a false hint may delay, never cut off.
      former.set(entry.id, before);
      if (news) changed();
      return news;
    },
    of,
    save,
    deviations: () => [...told.values()].filter(({ id, addresses }) => !sameList(addresses, ledger.get(id) ?? [])),
  };
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}
