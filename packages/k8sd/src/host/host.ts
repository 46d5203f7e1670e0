import type { Paths } from "./paths.ts";
import type { ServiceManager } from "./services.ts";

export interface RunOptions {
  readonly signal: AbortSignal;
  /** Default 30 s: no command of ours takes longer without saying so. */
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Exit codes besides 0 that are an answer and not a failure. */
  readonly okExitCodes?: readonly number[];
}

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A port or path that something else holds. */
export interface Conflict {
  /** Configuration key or flag that decides about it, when there is one. */
  readonly field?: string;
  readonly message: string;
  readonly remedy: string;
}

export interface PortNeed {
  readonly port: number;
  /** Address to listen on; default: all. */
  readonly address?: string;
  readonly protocol: "tcp" | "udp";
  /** Who needs it: "kube-apiserver". */
  readonly service: string;
  readonly field?: string;
}

/** Looks, never changes anything; reports every conflict at once, with the process that holds it. */
export interface Preflight {
  ports(needs: readonly PortNeed[], signal: AbortSignal): Promise<readonly Conflict[]>;
  /** Directories that must be absent or empty (or hold only what `owned` accepts). */
  emptyDirectories(
    paths: readonly string[],
    signal: AbortSignal,
    owned?: (path: string) => boolean,
  ): Promise<readonly Conflict[]>;
  /** Programs that must be present and executable. */
  programs(paths: readonly string[], signal: AbortSignal): Promise<readonly Conflict[]>;
  /** Kernel and system: root, free disk (bytes at path), memory, cgroup controllers, swap is fine. */
  system(
    needs: { readonly freeDisk: readonly { path: string; bytes: number }[] },
    signal: AbortSignal,
  ): Promise<readonly Conflict[]>;
}

export interface NetworkInterface {
  readonly name: string;
  readonly addresses: readonly {
    readonly address: string;
    readonly family: 4 | 6;
    readonly prefix: number;
    readonly internal: boolean;
  }[];
}

/** The machine. Tests give a temporary root and a recording service manager. */
export interface Host {
  readonly paths: Paths;
  readonly hostname: string;
  readonly services: ServiceManager;
  readonly preflight: Preflight;
  interfaces(): readonly NetworkInterface[];
  /** Runs a program with an argument array; throws AppError with the end of its output when it fails or takes too long. */
  run(argv: readonly string[], options: RunOptions): Promise<RunResult>;
  /** "v1", "v2" or "hybrid" (v1 controllers): kubelet and containerd are configured by it. */
  readonly cgroups: "v1" | "v2" | "hybrid";
}

/** What `createHost` gives: the host and its life. */
export interface RunningHost extends Host, AsyncDisposable {
  /** After a start of the daemon: takes services up again whose processes this daemon watches itself (`supervisor`). */
  resume(signal: AbortSignal): Promise<void>;
}
