import type { ChildProcessWithoutNullStreams } from "node:child_process";
import type { ExecOptions, RunResult } from "./exec.ts";
import type { Network } from "./network.ts";

export type Keep = "never" | "failure" | "always";

export interface Bind {
  readonly from: string;
  readonly to: string;
  readonly readOnly?: boolean;
}

export interface HostOptions {
  /** Its host name; made up when absent. */
  readonly name?: string;
  /** Absent: a network of its own, which goes when the host goes. */
  readonly network?: Network;
  /** Absent: the next free one of the network. */
  readonly address?: string;
  /** False: plain namespaces around `sleep`, for tests that need many hosts and no services. */
  readonly systemd?: boolean;
  /** Directories laid over the machine's /usr, the first on top. */
  readonly usrLayers?: readonly string[];
  readonly binds?: readonly Bind[];
  readonly memoryMaxBytes?: number;
  /** Absent: what K8SD_KEEP says, else "never". */
  readonly keep?: Keep;
  /** True: outlives this process; `findHost` finds it again by its name. */
  readonly persistent?: boolean;
  readonly signal?: AbortSignal;
}

export type PartitionKind = "both" | "incoming" | "outgoing";

/** What a host held at one moment, one line per thing, grouped by kind. */
export type HostSnapshot = Readonly<Record<string, readonly string[]>>;

export interface Host extends AsyncDisposable {
  readonly name: string;
  readonly address: string;
  readonly ipv6Address: string | undefined;
  readonly network: Network;
  /** The host's / on the machine's disk. /run, /tmp, /proc, /sys and /dev live only while the host is on. */
  readonly root: string;
  /** What a person types, as root, to enter the host; a command may follow it. */
  readonly enter: string;
  readonly isOn: boolean;

  /** Runs a command in the host; a non-zero exit is an error that carries what was printed. */
  run(...argv: string[]): Promise<RunResult>;
  tryRun(argv: readonly string[], options?: ExecOptions): Promise<RunResult>;
  /** For what runs long. Stop it with `killGroup` of exec.ts: it is the leader of its own process group. */
  spawn(argv: readonly string[], options?: Pick<ExecOptions, "env">): ChildProcessWithoutNullStreams;
  writeFile(path: string, content: string | Uint8Array, mode?: number): Promise<void>;
  readFile(path: string): Promise<string>;
  /** Everything a unit logged, over all boots. */
  journal(unit: string): Promise<string>;

  powerOff(): Promise<void>;
  /** Everything in the host is killed at once; what was written to disk stays. */
  cutPower(): Promise<void>;
  /** Starts it again with the same /etc and /var, and the same address. */
  boot(): Promise<void>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;

  /** Drops what crosses the network to the host ("incoming"), from it ("outgoing"), or both. */
  partition(kind?: PartitionKind): Promise<void>;
  partitionFrom(other: Host): Promise<void>;
  /** Each packet to the host, and each from it, is lost with this probability. */
  loss(percent: number): Promise<void>;
  /** Each packet to the host arrives this much later. */
  delay(ms: number, jitterMs?: number): Promise<void>;
  /** Undoes all partitions, loss and delay of this host. Peers may take a second to notice: they look for it again once a second. */
  heal(): Promise<void>;
  /**
   * Moves the clock of the named programs ("node" when none is named) that `run`, `spawn` and systemd start from now on;
   * those started after an earlier call follow at once. Needs libfaketime in a usr layer. It reaches programs that read
   * the clock through libc; Go programs do not, and keep the machine's clock.
   */
  clockSkew(seconds: number, programs?: readonly string[]): Promise<void>;

  snapshot(): Promise<HostSnapshot>;
  /** For test runners that cannot tell the host by themselves: the test failed, so `keep: "failure"` applies. */
  markFailed(): void;
  /** Cuts the power and removes everything, whatever `keep` and `persistent` say. */
  destroy(): Promise<void>;
}
