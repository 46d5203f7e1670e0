import type { WantedFile } from "../lib/write-file.ts";
import type { Paths } from "../host/paths.ts";
import type { ServiceSpec } from "../host/services.ts";

export type Role = "control-plane" | "worker";

/** What the components of one node are made from. Plain data: rendering is a pure function of it. */
export interface NodeView {
  readonly name: string;
  /** Host name of the machine when it differs from the node name. */
  readonly hostname: string;
  readonly role: Role;
  /** The node's addresses, the primary one first; at most one per family. */
  readonly addresses: readonly string[];
  /** "127.0.0.1", or "::1" on a host without IPv4. */
  readonly loopback: string;
  /** `ip:port` of k8sd's HTTPS listener. */
  readonly k8sdAddress: string;
  readonly paths: Paths;
  readonly cgroups: "v1" | "v2" | "hybrid";
  readonly network: {
    readonly podCidrs: readonly string[];
    readonly serviceCidrs: readonly string[];
    /** Part of the pod range that this node hands out (built-in network); empty before it is known. */
    readonly nodePodCidrs: readonly string[];
    readonly kubeProxyEnabled: boolean;
  };
  readonly securePort: number;
  readonly authorizationMode: string;
  readonly datastore:
    /** Embedded or managed: one local endpoint per node, certificates of the node's PKI. */
    | { readonly engine: "sqlite" | "etcd"; readonly endpoints: readonly string[]; readonly clientPort: number; readonly peerPort: number }
    | { readonly engine: "external"; readonly endpoints: readonly string[]; readonly ca: boolean; readonly clientCertificate: boolean };
  readonly kubelet: {
    readonly clusterDomain: string;
    readonly clusterDns: string | undefined;
    readonly cloudProvider: string | undefined;
    readonly taints: readonly string[];
  };
  /** User's extra arguments by component: value sets, null deletes. */
  readonly extraArgs: Readonly<Record<string, Readonly<Record<string, string | null>>>>;
  /** Merged over the rendered containerd configuration. */
  readonly extraContainerdConfig: Readonly<Record<string, unknown>>;
  /** Image of the pod sandbox. */
  readonly pauseImage: string;
}

export interface RenderedComponent {
  readonly service: ServiceSpec;
  readonly files: readonly WantedFile[];
  /** Directories the process expects, with modes. */
  readonly directories: readonly { readonly path: string; readonly mode: number }[];
}

/** One managed process. Which files and arguments it wants is a pure function; only `ready` touches the world. */
export interface ComponentSpec {
  readonly name: string;
  readonly roles: readonly Role[];
  render(node: NodeView): RenderedComponent;
  /** Resolves when the process does its work, observed from outside; rejects by its deadline with the reason. */
  ready(node: NodeView, signal: AbortSignal): Promise<void>;
  /** How it takes up changed certificates or files. */
  readonly reloads: "restart" | "by itself";
}
