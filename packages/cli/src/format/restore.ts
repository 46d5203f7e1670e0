import type { RestorePlan, RestoreResponse } from "@k8sd/api-types";
import type { Output } from "./output.ts";

/** What is going to happen, for a person to decide. */
export function restorePlanText(plan: RestorePlan): string {
  const { from, created, keys, node, engine, epoch } = plan;
  const time = created.replace(/\.\d+Z$/, "Z");
  const lines = [
    `The snapshot is of ${time}: ${keys} keys of revision ${from.revision}, from ${engineText(from.engine)} on ${from.node}, epoch ${from.epoch} of cluster ${plan.cluster}.`,
    plan.mode === "new"
      ? `This machine becomes ${node}, the only control plane of the cluster, with its data in ${engineText(engine)}; epoch ${epoch} begins.`
      : `${node} becomes the only control plane of the cluster; epoch ${epoch} begins.`,
    plan.mode === "new"
      ? "What the cluster wrote after that time is not in the snapshot. Its old control planes must not be started again."
      : "All that was written after that time is given up.",
    ...(plan.removed.length === 0
      ? []
      : [`${plan.removed.join(", ")}: taken out of the cluster, to be joined again as new control planes.`]),
    ...(plan.kept.length === 0 ? [] : [`${plan.kept.join(", ")}: stays as worker.`]),
    ...(plan.backup === undefined ? [] : [`The data that is now on this node is kept in ${plan.backup}.`]),
  ];
  return `${lines.join("\n")}\n`;
}

export function restoredOutput({ node, epoch, backup }: RestoreResponse, { removed }: RestorePlan): Output {
  const value = () => ({ node, epoch, ...(backup === undefined ? {} : { backup }) });
  const lines = [
    `Restored the cluster on ${node}; it is in epoch ${epoch} now.`,
    ...(backup === undefined ? [] : [`The old data of this node is in ${backup}.`]),
    ...(removed.length === 0
      ? []
      : [`Join ${removed.join(", ")} again with 'k8s get-join-token' and 'k8s join-cluster'.`]),
  ];
  return { plain: () => lines.join("\n"), json: value, yaml: value };
}

function engineText(engine: string): string {
  return engine === "external" ? "an external datastore" : engine;
}
