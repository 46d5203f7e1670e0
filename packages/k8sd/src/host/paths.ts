import { basename, dirname, join } from "node:path";

export interface PathsOptions {
  /** Prefix of everything outside the snap, "/" on a real host. Two daemons run on one machine with two roots. */
  readonly root: string;
  /** Read-only programs and resources: `$SNAP`. */
  readonly snap: string;
  /** State of the node: `$SNAP_COMMON`. Not below `root` by itself: tests pass a path below their root. */
  readonly snapCommon: string;
  /** Directory above containerd's own directories; default: `root`. */
  readonly containerdBase?: string | undefined;
  /** The daemon's own state; default: where the contract has it. */
  readonly state?: string | undefined;
}

/** Where the package is and where it keeps its state, as snapd tells its programs. */
export function snapDirectories(env: NodeJS.ProcessEnv): Pick<PathsOptions, "snap" | "snapCommon"> {
  return { snap: lasting(env) ?? "/snap/k8s/current", snapCommon: env.SNAP_COMMON ?? "/var/snap/k8s/common" };
}

/** `$SNAP` is the directory of one revision, which a refresh replaces; what is written with `current` in it stays good. */
function lasting({ SNAP: snap, SNAP_REVISION: revision }: NodeJS.ProcessEnv): string | undefined {
  return snap !== undefined && basename(snap) === revision ? join(dirname(snap), "current") : snap;
}

/** Every path the daemon reads or writes. The layout is the contract's (`docs/reference/files.md`); nobody else joins paths of the host. */
export type Paths = ReturnType<typeof createPaths>;

export function createPaths(options: PathsOptions) {
  const { root, snap, snapCommon } = options;
  const containerdBase = options.containerdBase ?? root;
  const state = options.state ?? join(snapCommon, "var/lib/k8sd/state");
  const kubernetes = join(root, "etc/kubernetes");
  const pki = join(kubernetes, "pki");
  const args = join(snapCommon, "args");
  const lock = join(snapCommon, "lock");
  return {
    root,
    snap,
    snapCommon,
    bin: join(snap, "bin"),
    /** Runs a service from its argument file without a shell reading the values. */
    runService: join(snap, "bin/run-service"),

    state,
    controlSocket: join(state, "control.socket"),
    nodeDb: join(state, "node.db"),
    /** What makes this machine the node it is: made once, kept as long as the state is. */
    nodeKey: join(state, "node.key"),
    clusterCert: join(state, "cluster.crt"),
    clusterKey: join(state, "cluster.key"),
    /** Identity of this node towards other members. */
    serverCert: join(state, "server.crt"),
    serverKey: join(state, "server.key"),
    /** Keys of the cluster's authorities, sealed. */
    clusterSecrets: join(state, "cluster-secrets.sealed"),
    /** Opens what is sealed in the datastore; never enters it. */
    sealKey: join(state, "seal.key"),
    /** Identity of k8sd towards the datastore. */
    datastoreClientCert: join(state, "datastore-client.crt"),
    datastoreClientKey: join(state, "datastore-client.key"),
    /** Of the PostgreSQL database that holds the cluster's data; may hold a password. */
    datastoreUrl: join(state, "datastore-url"),
    datastore: join(snapCommon, "var/lib/k8s-datastore"),
    etcd: join(snapCommon, "var/lib/etcd"),

    args,
    confD: join(args, "conf.d"),
    authTokenWebhook: join(args, "conf.d/auth-token-webhook.conf"),
    authorizationConfig: join(args, "conf.d/authorization.yaml"),
    authorizationWebhook: join(args, "conf.d/authorization-webhook.conf"),
    /** Which flags of each argument file are ours: the rest of a file is its user's. */
    appliedArgs: join(lock, "applied-args"),
    lock,
    workerMark: join(lock, "worker"),
    nodeToken: join(snapCommon, "node-token"),
    rawfileStorage: join(snapCommon, "rawfile-storage"),

    kubernetes,
    kubeconfig: {
      admin: join(kubernetes, "admin.conf"),
      controller: join(kubernetes, "controller.conf"),
      scheduler: join(kubernetes, "scheduler.conf"),
      proxy: join(kubernetes, "proxy.conf"),
      kubelet: join(kubernetes, "kubelet.conf"),
    },
    pki,
    etcdPki: join(pki, "etcd"),

    kubeletRoot: join(root, "var/lib/kubelet"),
    kubeletConfig: join(args, "conf.d/kubelet.yaml"),
    cniConf: join(root, "etc/cni/net.d"),
    cniBin: join(root, "opt/cni/bin"),
    cniState: join(root, "var/lib/cni"),
    podLogs: join(root, "var/log/pods"),
    containerLogs: join(root, "var/log/containers"),
    containerd: {
      base: containerdBase,
      configDir: join(containerdBase, "etc/containerd"),
      config: join(containerdBase, "etc/containerd/config.toml"),
      confD: join(containerdBase, "etc/containerd/conf.d"),
      hostsD: join(containerdBase, "etc/containerd/hosts.d"),
      rootDir: join(containerdBase, "var/lib/containerd"),
      stateDir: join(containerdBase, "run/containerd"),
      /** containerd's own choice, whatever its base. */
      optDir: join(root, "opt/containerd"),
      nriDir: join(root, "run/nri"),
      socket: join(containerdBase, "run/containerd/containerd.sock"),
    },
    sysctlD: join(root, "etc/sysctl.d"),
    systemdUnits: join(root, "etc/systemd/system"),
    /** Layers, process records and logs of the `supervisor` service manager. */
    supervisor: {
      layers: join(snapCommon, "layers"),
      processes: join(lock, "processes"),
      logs: join(snapCommon, "var/log/services"),
    },
    /** Where snapshots of the cluster are kept unless somebody says otherwise. */
    snapshots: join(snapCommon, "snapshots"),
    /** Archives that containerd imports at bootstrap, for hosts without a registry. */
    images: join(snapCommon, "images"),
  } as const;
}
