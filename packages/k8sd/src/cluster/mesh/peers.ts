import { hostPort, splitHostPort } from "../../components/address.ts";
import { AppError } from "../../lib/app-error.ts";
import type { MeshMember } from "../../mesh/mesh.ts";
import type { MemberRecord } from "../ledger-records.ts";
import type { KnownMember } from "../roster.ts";

const highestPort = 65_535;

/** The port beside that of the node's k8sd: 6401, and another one where two nodes share a machine. */
export function meshPort(k8sdAddress: string): number {
  const port = splitHostPort(k8sdAddress)?.port ?? 0;
  return port === highestPort ? port - 1 : port + 1;
}

export function meshAddresses({
  addresses,
  k8sdAddress,
}: {
  readonly addresses: readonly string[];
  readonly k8sdAddress: string;
}): readonly string[] {
  return addresses.map((address) => hostPort(address, meshPort(k8sdAddress)));
}

/** Who is admitted to the mesh: those whose keys are trusted elsewhere too. */
export function meshMembers(members: readonly KnownMember[]): readonly MeshMember[] {
  return members.flatMap((member) => {
    const { id, meshPeer, role, state, changedAt } = member;
    if (meshPeer === undefined || (state !== "active" && state !== "leaving")) return [];
    const author = role === "control-plane";
    const known = { id, peerId: meshPeer, addresses: meshAddresses(member), author };
    // Control planes open their mesh at once: they are who a worker can speak to first.
    return [state === "active" && !author ? { ...known, cameAt: changedAt } : known];
  });
}

/** A peer id is said, not proved, when a node comes in: nobody can take that of another one. */
export function refuseTakenPeer(
  self: { readonly id: string; readonly meshPeer: string | undefined },
  members: readonly Pick<MemberRecord, "id" | "name" | "meshPeer" | "state">[],
): void {
  const other = members.find(
    ({ id, meshPeer, state }) => id !== self.id && state !== "removed" && meshPeer === self.meshPeer,
  );
  if (self.meshPeer === undefined || other === undefined) return;
  throw new AppError("forbidden", `cannot take the mesh identity of ${other.name}: it belongs to another key`);
}
