import type { NodeStatus } from "@k8sd/api-types";
import type { Output } from "./output.ts";

/** The keys in the contract's order; empty ones are left out. */
export function nodeStatusFields(node: NodeStatus): Record<string, string> {
  const fields = {
    name: node.name,
    address: node.address,
    "cluster-role": node["cluster-role"],
    "datastore-role": node["datastore-role"],
  };
  return Object.fromEntries(Object.entries(fields).flatMap(([key, value]) => (value ? [[key, value]] : [])));
}

export function localNodeOutput(node: NodeStatus): Output {
  return {
    plain: () =>
      `{${[node.name, node.address, node["cluster-role"], node["datastore-role"]].map((text) => text ?? "").join(" ")}}`,
    json: () => nodeStatusFields(node),
    yaml: () => nodeStatusFields(node),
  };
}
