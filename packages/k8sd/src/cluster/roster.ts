import { isDeepStrictEqual } from "node:util";
import type { RosterStore } from "../node-db/roster-store.ts";
import type { Ledger } from "./ledger.ts";
import type { MemberRecord } from "./ledger-records.ts";

export type KnownMember = Pick<
  MemberRecord,
  "id" | "name" | "role" | "state" | "addresses" | "k8sdAddress" | "publicKeyFingerprint" | "meshPeer" | "removal"
> & { readonly podCidrs: readonly string[] };

/** Who is in the cluster, as this node last heard. In memory, because it is asked for with every request; kept over restarts. */
export interface Roster {
  members(): readonly KnownMember[];
  /** Keys of those who are in, or on their way out. */
  keys(): ReadonlySet<string>;
  replace(members: readonly KnownMember[]): void;
  /** When `replace` was called last, in milliseconds since the Unix epoch; undefined since the start. */
  heardAt(): number | undefined;
  /** Keeps it as the ledger is, until the signal or an error. */
  follow(ledger: Pick<Ledger, "changes">, podCidrs: PodCidrs, signal: AbortSignal): Promise<void>;
}

type PodCidrs = (member: MemberRecord) => readonly string[];

export function createRoster(ownKey: string, store: RosterStore<KnownMember>, now: () => number): Roster {
  let heardAt: number | undefined;
  let members: readonly KnownMember[] = [];
  let keys: ReadonlySet<string> = new Set([ownKey]);

  function replace(next: readonly KnownMember[]): void {
    heardAt = now();
    if (!isDeepStrictEqual(next, members)) store.write(next);
    take(next);
  }

  function take(next: readonly KnownMember[]): void {
    members = next;
    const trusted = next.filter(({ state }) => state === "active" || state === "leaving");
    keys = new Set([ownKey, ...trusted.map((member) => member.publicKeyFingerprint)]);
  }

  take(store.read());

  return {
    members: () => members,
    keys: () => keys,
    replace,
    heardAt: () => heardAt,
    follow: async (ledger, podCidrs, signal) => {
      const known = new Map<string, KnownMember>();
      for await (const change of ledger.changes({ from: 0, signal })) {
        if (change.kind === "snapshot") known.clear();
        for (const member of change.members) {
          if (member.state === "removed") known.delete(member.id);
          else known.set(member.id, { ...member, podCidrs: podCidrs(member) });
        }
        for (const id of change.forgotten) known.delete(id);
        replace([...known.values()]);
      }
    },
  };
}
