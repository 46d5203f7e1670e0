import type { Output } from "./output.ts";

export function joinOutput(name: string): Output {
  return {
    plain: () =>
      `Cluster services have started on ${JSON.stringify(name)}.\n` +
      "Please allow some time for initial Kubernetes node registration.\n",
    json: () => ({ name }),
    yaml: () => ({ name }),
  };
}
