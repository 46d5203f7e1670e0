import { answers } from "../endpoint.ts";
import { always } from "../errors.ts";

export const clusterConfig = [
  answers("clusterConfig", ({ domain, signal }) => domain.clusterConfig(signal), {
    failure: always(500, "failed to retrieve cluster configuration: "),
  }),

  answers("kubeconfig", async ({ domain, signal }, { server }) => ({
    kubeconfig: await domain.kubeconfig(server, signal),
  })),
];
