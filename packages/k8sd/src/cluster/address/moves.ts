import { isIP } from "node:net";
import type { MembersMovedRequest, MoveMemberRequest, MoveMemberResponse } from "@k8sd/api-types";
import { splitHostPort } from "../../components/address.ts";
import type { Paths } from "../../host/paths.ts";
import { AppError } from "../../lib/app-error.ts";
import type { Audit } from "../../node-db/audit.ts";
import { presentOf, readClusterSecrets } from "../cluster-secrets.ts";
import type { Connections } from "../connections.ts";
import { refuseServed, servedNames } from "../join/claim-check.ts";
import { workerPki } from "../join/worker-pki.ts";
import { createLedger } from "../ledger.ts";
import type { MemberRecord } from "../ledger-records.ts";
import { refuseTakenPeer } from "../mesh/peers.ts";
import { nodeIdOf } from "../node-key.ts";
import type { Roster } from "../roster.ts";
import type { Seal } from "../seal.ts";

export interface MovesDeps {
  readonly paths: Paths;
  readonly connections: () => Connections;
  readonly roster: Pick<Roster, "members" | "replace">;
  readonly audit: Pick<Audit, "record">;
  readonly seal: () => Promise<Seal>;
  readonly now: () => number;
}

/** The cluster's side: other members have moved. */
export function createMoves(deps: MovesDeps) {
  async function memberOf(key: string | undefined, members: readonly MemberRecord[]): Promise<MemberRecord> {
    const id = key === undefined ? undefined : nodeIdOf(key);
    const member = members.find((each) => each.id === id && each.publicKeyFingerprint === key);
    if (member?.state === "active") return member;
    throw new AppError("forbidden", "cannot take a new address: who calls is no member of this cluster");
  }

  return {
    /** It is recorded where the member is now, and gets its certificates for that. */
    async move(
      request: MoveMemberRequest,
      { key, source }: { readonly key?: string; readonly source: string },
      signal: AbortSignal,
    ): Promise<MoveMemberResponse> {
      const ledger = createLedger(await deps.connections().datastore());
      const [members, config] = await Promise.all([ledger.members(signal), ledger.config(signal)]);
      const member = await memberOf(key, members);
      const { addresses, "k8sd-address": k8sdAddress, requests } = request;
      refuseAddresses(member, { addresses, k8sdAddress, source }, members);
      refuseServed({ ...member, addresses, k8sdAddress }, await servedNames(deps.paths), members);
      refuseTakenPeer({ id: member.id, meshPeer: request["mesh-peer"] }, members);
      if (config === undefined) throw new AppError("unavailable", "cannot take a new address: no cluster is recorded");
      const claim = { ...member, addresses, k8sdAddress, nodeId: member.id, secret: "", source };
      const pki =
        Object.keys(requests).length === 0
          ? {}
          : workerPki(await readClusterSecrets(deps.paths, await deps.seal()), claim, requests, config, deps.now());
      const meshPeer = request["mesh-peer"] ?? member.meshPeer;
      await ledger.update(member.id, { addresses, k8sdAddress, ...(meshPeer && { meshPeer }) }, signal);
      const details = { from: member.addresses.join(", "), to: addresses.join(", "), source };
      deps.audit.record({ actor: `node ${member.id}`, action: "member.move", outcome: "ok", details });
      return { pki: presentOf(pki) };
    },

    /** What another member tells of who has moved, while the ledger cannot. */
    async moved({ members }: MembersMovedRequest): Promise<void> {
      const told = new Map(members.map((member) => [member.id, member]));
      deps.roster.replace(
        deps.roster.members().map((known) => {
          const member = told.get(known.id);
          return member === undefined
            ? known
            : { ...known, addresses: member.addresses, k8sdAddress: member["k8sd-address"] };
        }),
      );
    },
  };
}

function refuseAddresses(
  self: MemberRecord,
  { addresses, k8sdAddress, source }: Pick<MemberRecord, "addresses" | "k8sdAddress"> & { readonly source: string },
  members: readonly MemberRecord[],
): void {
  const listener = splitHostPort(k8sdAddress);
  if (listener === undefined || [...addresses, listener.host].some((address) => isIP(address) === 0)) {
    throw new AppError("invalid", "cannot take a new address: it is no IP address", { field: "address" });
  }
  // Who calls from an address has it, whatever is recorded: nodes may have taken each other's.
  const proven = source.replace(/^::ffff:(?=\d+\.)/i, "");
  const claimed = addresses.filter((address) => address !== proven);
  const other = members.find(
    ({ id, state, addresses: taken }) =>
      id !== self.id && state !== "removed" && taken.some((address) => claimed.includes(address)),
  );
  if (other === undefined) return;
  throw new AppError("conflict", `cannot take the address of ${other.name}`, {
    field: "address",
    remedy: `Give ${self.name} an address of its own, or remove ${other.name} with 'k8s remove-node ${other.name}' when it is gone.`,
  });
}
