/** A process that the node runs. Argument values never pass through a shell. */
export interface ServiceSpec {
  /** Name of the contract: "kubelet", "kube-apiserver", "k8s-datastore". */
  readonly name: string;
  readonly description: string;
  /** Absolute path of the program. */
  readonly program: string;
  /** Flag with its dashes → value; written to `$SNAP_COMMON/args/<name>` in the contract's format. */
  readonly args: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
  /** Services that start before this one when both are started. */
  readonly after: readonly string[];
  /** True when the program tells the service manager that it is up (sd_notify). */
  readonly notifies: boolean;
  /** True when the program manages control groups of its own children (containerd, kubelet). */
  readonly delegates: boolean;
  /** "process": children such as running containers outlive a restart of the program. */
  readonly kill: "group" | "process";
  readonly stopTimeoutSeconds: number;
}

export interface ServiceStatus {
  readonly state: "running" | "starting" | "stopped" | "failed" | "unknown";
  readonly pid?: number;
  /** Times the manager started it again after an unexpected end. */
  readonly restarts?: number;
  /** Why it is not running, in the manager's words: "exit code 1", "killed by signal 9". */
  readonly reason?: string;
}

/** One queue per service: two callers never race on one. Every call is idempotent and ends by its deadline. */
export interface ServiceManager {
  /** Makes argument file and service definition as wanted; does not start or restart it. */
  apply(spec: ServiceSpec, signal: AbortSignal): Promise<"unchanged" | "changed">;
  /** Starts it now and at every boot. */
  start(name: string, signal: AbortSignal): Promise<void>;
  /** Stops it now and at every boot; returns when its processes are gone. A service that is not there is stopped. */
  stop(name: string, signal: AbortSignal): Promise<void>;
  restart(name: string, signal: AbortSignal): Promise<void>;
  status(name: string, signal: AbortSignal): Promise<ServiceStatus>;
  /** Of several at once, in the order of the names: where it can, with one question to the manager. */
  statuses(names: readonly string[], signal: AbortSignal): Promise<readonly ServiceStatus[]>;
  /** Stops it and takes back what `apply` wrote. */
  remove(name: string, signal: AbortSignal): Promise<void>;
  /** The last lines it printed, for error messages. */
  logs(name: string, lines: number, signal: AbortSignal): Promise<readonly string[]>;
}
