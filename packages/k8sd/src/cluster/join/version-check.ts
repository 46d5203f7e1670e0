import type { KubeClient } from "../../kube/kube-client.ts";
import { nodes } from "../../kube/resources.ts";
import { AppError } from "../../lib/app-error.ts";
import { withDeadline } from "../../lib/wait.ts";
import { annotation, annotationFlag } from "../config/annotations.ts";
import type { ClusterConfig } from "../config/types.ts";
import type { Ledger } from "../ledger.ts";
import type { Claim } from "../ledger-admission.ts";
import { versionProblem } from "./version-rule.ts";

export interface VersionCheckDeps {
  readonly ledger: Pick<Ledger, "members">;
  /** Undefined where this cluster runs without Kubernetes. */
  readonly kube: () => Promise<KubeClient> | undefined;
}

/** A Kubernetes API that does not answer is no reason to keep anybody from adding a node. */
const kubernetesMs = 3_000;

/** Says no to a node whose programs do not go with those of the cluster, before anything is recorded. */
export async function refuseVersions(
  claim: Pick<Claim, "nodeId" | "name" | "role" | "versions">,
  config: ClusterConfig,
  deps: VersionCheckDeps,
  signal: AbortSignal,
): Promise<void> {
  if (annotationFlag(config, annotation.disableSeparateFeatureUpgrades)) return;
  const [members, kubelets] = await Promise.all([deps.ledger.members(signal), kubeletVersions(deps, signal)]);
  const running = members.map((member) => {
    const kubernetes = member.role === "worker" ? kubelets.get(member.name) : undefined;
    return kubernetes === undefined ? member : { ...member, versions: { ...member.versions, kubernetes } };
  });
  const problem = versionProblem({ ...claim, id: claim.nodeId }, running);
  if (problem === undefined) return;
  throw new AppError("conflict", `cannot join as ${claim.name}: ${problem.reason}`, { remedy: problem.remedy });
}

/** What the kubelets say they are: the ledger knows of a worker only what it was when it joined. */
async function kubeletVersions(
  { kube }: Pick<VersionCheckDeps, "kube">,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const listed = async () => (await (await kube())?.list(nodes, { signal: withDeadline(signal, kubernetesMs) }))?.items;
  const items = await listed().catch(() => {
    signal.throwIfAborted();
    return undefined;
  });
  return new Map(
    (items ?? []).flatMap(({ metadata, status }) => {
      const version = status?.nodeInfo?.kubeletVersion;
      return metadata?.name === undefined || version === undefined ? [] : [[metadata.name, version.replace(/^v/, "")]];
    }),
  );
}
