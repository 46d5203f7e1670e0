import { isDeepStrictEqual } from "node:util";
import { createLedger } from "../cluster/ledger.ts";
import type { Datastore } from "../datastore/datastore.ts";
import type { Reconciler } from "./loop.ts";

/** Programs change with the daemon's own start; this is for a ledger that could not be written then. */
const periodMs = 3_600_000;

/** What a node says of itself is what the ledger says of it, also after an upgrade: what runs on it, and its peer id. */
export function createOwnRecord(
  nodeId: string,
  deps: {
    readonly datastore: () => Promise<Datastore>;
    readonly versions: (signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
    readonly meshPeer: string;
  },
): Reconciler {
  return {
    name: "own-record",
    reconcile: async (signal) => {
      const { meshPeer } = deps;
      const versions = await deps.versions(signal);
      const ledger = createLedger(await deps.datastore());
      const member = await ledger.member(nodeId, signal);
      const differs =
        member?.state === "active" && (!isDeepStrictEqual(member.versions, versions) || member.meshPeer !== meshPeer);
      if (differs) await ledger.update(nodeId, { versions, meshPeer }, signal);
      return periodMs;
    },
  };
}
