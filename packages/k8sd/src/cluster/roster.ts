import { isDeepStrictEqual } from "node:util";
import { AppError } from "../lib/app-error.ts";
import type { RosterStore } from "../node-db/roster-store.ts";
import type { Ledger } from "./ledger.ts";
import type { MemberRecord } from "./ledger-records.ts";
import type { LedgerView } from "./mesh/records.ts";

export type KnownMember = Pick<
  MemberRecord,
  | "id"
  | "name"
  | "role"
  | "state"
  | "addresses"
  | "k8sdAddress"
  | "publicKeyFingerprint"
  | "meshPeer"
  | "removal"
  | "changedAt"
> & { readonly podCidrs: readonly string[] };

/** Who is in the cluster, as this node last heard. In memory, because it is asked for with every request; kept over restarts. */
export interface Roster {
  members(): readonly KnownMember[];
  /** Keys of this node and of the control planes that are in, or on their way out. */
  keys(): ReadonlySet<string>;
  /** Likewise of the workers. */
  workerKeys(): ReadonlySet<string>;
  replace(members: readonly KnownMember[]): void;
  /** What is known was confirmed, without a change. */
  heard(at: number): void;
  /** When it was last told or confirmed, in milliseconds since the Unix epoch; undefined since the start. */
  heardAt(): number | undefined;
  /** @returns ends it */
  onChange(listener: () => void): () => void;
  /** Keeps it as the ledger is, until the signal or an error. */
  follow(ledger: Pick<Ledger, "changes">, options: FollowOptions, signal: AbortSignal): Promise<void>;
}

export interface FollowOptions {
  readonly podCidrs: PodCidrs;
  /** A ledger of a later epoch is not taken; absent: whatever is there is this node's. */
  readonly epoch?: number;
  /** Every state of the ledger, after it was taken. */
  readonly seen: (view: LedgerView) => void;
}

type PodCidrs = (member: MemberRecord) => readonly string[];

export function createRoster(ownKey: string, store: RosterStore<KnownMember>, now: () => number): Roster {
  let heardAt: number | undefined;
  let members: readonly KnownMember[] = [];
  let keys: ReadonlySet<string> = new Set([ownKey]);
  let workerKeys: ReadonlySet<string> = new Set();
  const listeners = new Set<() => void>();

  function replace(next: readonly KnownMember[]): void {
    heardAt = now();
    if (isDeepStrictEqual(next, members)) return;
    store.write(next);
    take(next);
    for (const listener of listeners) listener();
  }

  function take(next: readonly KnownMember[]): void {
    members = next;
    const trusted = next.filter(({ state }) => state === "active" || state === "leaving");
    const keysOf = (role: KnownMember["role"]): readonly string[] =>
      trusted.flatMap((member) => (member.role === role ? [member.publicKeyFingerprint] : []));
    keys = new Set([ownKey, ...keysOf("control-plane")]);
    workerKeys = new Set(keysOf("worker"));
  }

  take(store.read());

  return {
    members: () => members,
    keys: () => keys,
    workerKeys: () => workerKeys,
    replace,
    heard: (at) => {
      heardAt = Math.max(at, heardAt ?? 0);
    },
    heardAt: () => heardAt,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    follow: async (ledger, { podCidrs, seen, epoch: own }, signal) => {
      const known = new Map<string, MemberRecord>();
      let epoch = 1;
      for await (const change of ledger.changes({ from: 0, signal })) {
        epoch = change.cluster?.epoch ?? epoch;
        if (own !== undefined && epoch > own) {
          const what = `it is of epoch ${epoch}, and this node is still in epoch ${own}`;
          throw new AppError("unavailable", `cannot follow the ledger: ${what}`);
        }
        if (change.kind === "snapshot") known.clear();
        for (const member of change.members) {
          if (member.state === "removed") known.delete(member.id);
          else known.set(member.id, member);
        }
        for (const id of change.forgotten) known.delete(id);
        const present = [...known.values()];
        replace(present.map((member) => ({ ...member, podCidrs: podCidrs(member) })));
        seen({ epoch, revision: change.revision, members: present });
      }
    },
  };
}
