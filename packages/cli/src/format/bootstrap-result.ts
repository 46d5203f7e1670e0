import type { NodeStatus } from "@k8sd/api-types";
import { nodeStatusFields } from "./node-status.ts";
import type { Output } from "./output.ts";

export function bootstrapOutput(node: NodeStatus): Output {
  return {
    plain: () =>
      `Bootstrapped a new Kubernetes cluster with node address ${JSON.stringify(node.address ?? "")}.\n` +
      "The node will be 'Ready' to host workloads after the CNI is deployed successfully.\n",
    json: () => ({ node: nodeStatusFields(node) }),
    yaml: () => ({ node: nodeStatusFields(node) }),
  };
}
