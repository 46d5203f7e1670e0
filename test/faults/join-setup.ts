import { type JoinInput, planJoin } from "@k8sd/k8sd/cluster/join/plan.ts";
import { expect } from "vitest";
import { aBootstrapInput } from "../../packages/k8sd/test/support/bootstrap-input.ts";
import { k8s } from "../expect-node.ts";
import type { Host } from "../hosts/types.ts";

export type JoinRole = "control plane" | "worker";

/** What the plan of such a join is made from; a control plane's datastore is etcd. */
function aJoinInput(role: JoinRole, kubernetes: boolean): JoinInput {
  const input = aBootstrapInput({ kubernetes });
  const via = { fingerprint: "", addresses: [], apiServers: [] };
  const initialCluster = { state: "existing", peers: {} } as const;
  const etcd = { engine: "etcd", endpoints: [], clientPort: 2379, peerPort: 2380, initialCluster } as const;
  const none = { engine: "external", endpoints: [], ca: false, clientCertificate: false } as const;
  const view =
    role === "worker"
      ? ({ ...input.view, role: "worker", datastore: none } as const)
      : ({ ...input.view, datastore: etcd } as const);
  return { ...input, view, via, skewMs: 0 };
}

/** The steps of a join as it will run, and the one that makes it final. */
export function joinSteps(role: JoinRole, kubernetes: boolean): { titles: readonly string[]; commit: number } {
  const { steps, commit } = planJoin(aJoinInput(role, kubernetes), "generated");
  return { titles: steps.map(({ title }) => title), commit };
}

/** The step with a title that begins so. */
export function stepOf(role: JoinRole, kubernetes: boolean, beginning: string): number {
  const found = joinSteps(role, kubernetes).titles.findIndex((title) => title.startsWith(beginning));
  if (found < 0) throw new Error(`no step of a join begins with ${beginning}`);
  return found;
}

/** The token that was made for this name: unspent, and held for nobody. */
export async function isUnspent(host: Host, name: string): Promise<void> {
  const look = async (): Promise<unknown> => {
    const { stdout } = await k8s(host, ["tokens", "--output-format", "json"]);
    const { tokens } = JSON.parse(stdout) as {
      tokens: { name: string; state: string; used: number; joining: number }[];
    };
    return tokens.findLast((token) => token.name === name);
  };
  await expect.poll(look, { timeout: 20_000 }).toMatchObject({ state: "valid", used: 0, joining: 0 });
}
