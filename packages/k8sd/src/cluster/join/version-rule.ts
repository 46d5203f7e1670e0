import type { Role } from "../../components/component.ts";
import type { MemberRecord } from "../ledger-records.ts";

export interface VersionProblem {
  /** As the end of "cannot join: …". */
  readonly reason: string;
  readonly remedy: string;
}

interface Joiner {
  readonly id: string;
  readonly role: Role;
  readonly versions: Readonly<Record<string, string>>;
}

type Known = Pick<MemberRecord, "id" | "name" | "role" | "state" | "versions">;

interface Version {
  readonly text: string;
  readonly major: number;
  readonly minor: number;
}

/** A kubelet may be this much older than an API server that it talks to, and never newer. */
const kubeletMayLag = 3;
/** Between two control planes: more than one step is no upgrade that is under way, but a mistake. */
const controlPlanesMayDiffer = 1;

/**
 * Why a node with these versions may not come in; undefined: it may. Patches may differ. What a node does not tell, one
 * without Kubernetes for example, is not compared.
 */
export function versionProblem(joiner: Joiner, members: readonly Known[]): VersionProblem | undefined {
  const others = members.filter(({ id, state }) => id !== joiner.id && state !== "removed" && state !== "leaving");
  return agentProblem(joiner, others) ?? kubernetesProblem(joiner, others);
}

function agentProblem(joiner: Joiner, others: readonly Known[]): VersionProblem | undefined {
  const own = parsed(joiner.versions.k8sd);
  if (own === undefined) return undefined;
  for (const { name, versions } of others) {
    const other = parsed(versions.k8sd);
    if (other === undefined || (own.major === other.major && Math.abs(own.minor - other.minor) <= 1)) continue;
    return {
      reason: `its k8sd is ${own.text}, that of ${name} is ${other.text}, and they may be one minor version apart`,
      remedy: `Install k8sd ${other.major}.${other.minor} on this node.`,
    };
  }
  return undefined;
}

function kubernetesProblem(joiner: Joiner, others: readonly Known[]): VersionProblem | undefined {
  const own = parsed(joiner.versions.kubernetes);
  if (own === undefined) return undefined;
  for (const { name, role, versions } of others) {
    const other = parsed(versions.kubernetes);
    if (other === undefined) continue;
    const problem = pairProblem({ ...own, role: joiner.role }, { ...other, role, name });
    if (problem === undefined) continue;
    return {
      reason: `its Kubernetes is ${own.text}, that of ${name} is ${other.text}: ${problem}`,
      remedy:
        role === "control-plane"
          ? `Install Kubernetes ${other.major}.${other.minor} on this node.`
          : `Upgrade ${name}, or install another version on this node.`,
    };
  }
  return undefined;
}

type Side = Version & { readonly role: Role };

function pairProblem(own: Side, other: Side & { readonly name: string }): string | undefined {
  if (own.major !== other.major) return "the major versions differ";
  if (own.role === "control-plane" && other.role === "control-plane") {
    return Math.abs(own.minor - other.minor) <= controlPlanesMayDiffer
      ? undefined
      : "control planes may be one minor version apart";
  }
  if (own.role === other.role) return undefined;
  const [kubelet, apiServer] = own.role === "worker" ? [own, other] : [other, own];
  if (kubelet.minor > apiServer.minor) return "a worker may not be newer than a control plane";
  if (apiServer.minor - kubelet.minor > kubeletMayLag) {
    return `a worker may be at most ${kubeletMayLag} minor versions older than a control plane`;
  }
  return undefined;
}

function parsed(text: string | undefined): Version | undefined {
  const [, major, minor] = /^v?(\d+)\.(\d+)\./.exec(text ?? "") ?? [];
  if (text === undefined || major === undefined || minor === undefined) return undefined;
  return { text, major: Number(major), minor: Number(minor) };
}
