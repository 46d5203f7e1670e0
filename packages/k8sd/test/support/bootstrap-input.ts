import { hostname } from "node:os";
import type { BootstrapConfig } from "@k8sd/api-types";
import type { BootstrapInput } from "../../src/cluster/bootstrap/plan.ts";
import { type Preparation, prepareBootstrap } from "../../src/cluster/bootstrap/prepare.ts";
import type { Host } from "../../src/host/host.ts";
import { createPaths } from "../../src/host/paths.ts";

const interfaces: ReturnType<Host["interfaces"]> = [
  { name: "lo", addresses: [{ address: "127.0.0.1", family: 4, prefix: 8, internal: true }] },
  { name: "eth0", addresses: [{ address: "192.0.2.10", family: 4, prefix: 24, internal: false }] },
];

/** What a bootstrap with `k8s bootstrap`'s own defaults is made from, on a host with one address. */
export function aBootstrapInput(options: { readonly kubernetes: boolean }): BootstrapInput {
  return aPreparation(options).input;
}

/** The same with more in the bootstrap configuration, and what of it is secret. */
export function aPreparation(options: {
  readonly kubernetes: boolean;
  readonly config?: BootstrapConfig;
}): Preparation {
  const paths = createPaths({ root: "/", snap: "/snap/k8s/current", snapCommon: "/var/snap/k8s/common" });
  // Planning looks at these parts of a host and at nothing else.
  const host = {
    paths,
    hostname: hostname(),
    cgroups: "hybrid",
    interfaces: () => interfaces,
  } as Partial<Host> as Host;
  const config = { "cluster-config": { network: { enabled: true, "kube-proxy-enabled": false } }, ...options.config };
  return prepareBootstrap(
    { name: "n1", address: "", config },
    {
      host,
      machine: {
        systemd: true,
        appArmor: false,
        oomScoreAdjustable: false,
        conntrackWritable: false,
        resolvConf: undefined,
      },
      kubernetes: options.kubernetes,
      nodeId: "9c2d3a6e-8f14-8b5a-9d3e-0c1f2a3b4c5d",
      now: Date.now(),
    },
  );
}
