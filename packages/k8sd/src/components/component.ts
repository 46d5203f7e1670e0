import type { Paths } from "../host/paths.ts";
import type { ServiceSpec } from "../host/services.ts";
import type { WantedFile } from "../lib/write-file.ts";

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
  readonly datastore: DatastoreView;
  /** CA keys that lie on this node: only then can kube-controller-manager sign with them. */
  readonly signing: { readonly ca: boolean; readonly clientCa: boolean };
  readonly kubelet: {
    readonly clusterDomain: string;
    readonly clusterDns: string | undefined;
    readonly cloudProvider: string | undefined;
    readonly taints: readonly string[];
  };
  /** User's extra arguments by component: value sets, null deletes. */
  readonly extraArgs: Readonly<Record<string, Readonly<Record<string, string | null>>>>;
  /** User's files by name, for arguments that refer to them. */
  readonly extraConfigFiles: Readonly<Record<string, string>>;
  /** Merged over the rendered containerd configuration. */
  readonly extraContainerdConfig: Readonly<Record<string, unknown>>;
  /** Image of the pod sandbox. */
  readonly pauseImage: string;
  /** What was found on the machine; `inspectMachine` reads it. */
  readonly machine: MachineView;
}

export type DatastoreView =
  /** Embedded: a process of this node, certificates of the node's PKI. */
  | { readonly engine: "sqlite"; readonly endpoints: readonly string[]; readonly clientPort: number }
  | {
      readonly engine: "etcd";
      readonly endpoints: readonly string[];
      readonly clientPort: number;
      readonly peerPort: number;
      /** Peer URL by member name, this node's among them. Looked at by etcd only when it has no data yet. */
      readonly initialCluster: { readonly state: "new" | "existing"; readonly peers: Readonly<Record<string, string>> };
    }
  | {
      /** A server of this node over a PostgreSQL database, which the servers of other control planes use as well. */
      readonly engine: "postgres";
      readonly endpoints: readonly string[];
      readonly clientPort: number;
      /** Its URL, without the password. */
      readonly server: string;
    }
  | {
      readonly engine: "external";
      readonly endpoints: readonly string[];
      readonly ca: boolean;
      readonly clientCertificate: boolean;
    };

/** Facts about the machine that decide about a flag or a line of configuration. */
export interface MachineView {
  /** systemd owns the control groups: runc and kubelet ask it for theirs. */
  readonly systemd: boolean;
  readonly appArmor: boolean;
  /** False without CAP_SYS_RESOURCE (nested containers): runc may not lower an oom_score_adj there. */
  readonly oomScoreAdjustable: boolean;
  /** False where connection tracking's sysctls are read-only (containers): kube-proxy would end on its first write. */
  readonly conntrackWritable: boolean;
  /** A resolv.conf that pods can use: no name server on loopback. Undefined: kubelet's own default. */
  readonly resolvConf: string | undefined;
}

export interface RenderedComponent {
  readonly service: ServiceSpec;
  readonly files: readonly WantedFile[];
  /** Directories the process expects, with the modes they get when they are missing. */
  readonly directories: readonly { readonly path: string; readonly mode: number }[];
}

/** One managed process. Whether a node runs it, which files and arguments it wants is a pure function; only `ready` touches the world. */
export interface ComponentSpec {
  readonly name: string;
  wanted(node: NodeView): boolean;
  render(node: NodeView): RenderedComponent;
  /** Resolves when the process does its work, observed from outside; rejects by its deadline with the reason. */
  ready(node: NodeView, signal: AbortSignal): Promise<void>;
  /** How it takes up renewed certificates; changed arguments and other files always need a restart. */
  readonly reloads: "restart" | "by itself";
}
