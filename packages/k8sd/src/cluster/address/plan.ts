import type { Bare, Json, Plan } from "../../operations/plan.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";

export interface AddressInput {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly before: BootstrapInput;
  readonly after: BootstrapInput;
}

export type AddressStep =
  | Bare<"renew-certificates">
  | Bare<"move-peer">
  | Bare<"restart-services">
  | Bare<"move-listener">
  | Bare<"tell-cluster">
  | Bare<"commit-node">;

/** A node gets another address. Pods and all that does not know the address go on. */
export function planSetAddress(input: AddressInput, result: Json, requestId: string): Plan<AddressStep> {
  const { role, datastore } = input.after.view;
  const controlPlane = role === "control-plane";
  const steps: AddressStep[] = [
    { kind: "renew-certificates", title: "Renew the certificates that carry the address", args: null },
    ...(controlPlane && datastore.engine === "etcd"
      ? [{ kind: "move-peer", title: "Tell etcd's other members", args: null } as const]
      : []),
    { kind: "restart-services", title: "Restart what uses the address", args: null },
    { kind: "move-listener", title: "Move the cluster listener", args: null },
    ...(controlPlane ? [{ kind: "tell-cluster", title: "Tell the cluster", args: null } as const] : []),
    { kind: "commit-node", title: "Keep the new address", args: null },
  ];
  return {
    operation: "set-address",
    requestId,
    input,
    steps,
    commit: steps.length - 1,
    result,
  };
}
