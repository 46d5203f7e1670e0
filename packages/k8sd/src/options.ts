import { join } from "node:path";
import { parseArgs } from "node:util";
import { snapDirectories } from "./host/paths.ts";
import { AppError } from "./lib/app-error.ts";

export type ServiceManagerKind = "systemd" | "snap" | "supervisor";

/** All that decides how a daemon runs. Plain data. */
export interface DaemonOptions {
  readonly root: string;
  readonly snap: string;
  readonly snapCommon: string;
  /** `$SNAP_DATA` and `$SNAP_INSTANCE_NAME`, where snapd runs the daemon. */
  readonly snapData: string | undefined;
  readonly snapInstance: string | undefined;
  readonly stateDir: string | undefined;
  readonly serviceManager: ServiceManagerKind;
  /** False: the Kubernetes programs are left out; the agent and its datastore run alone. */
  readonly kubernetes: boolean;
  readonly logLevel: string;
  /** Group that may use the control socket beside root. */
  readonly socketGroup: string | undefined;
  /** How long running requests may take to end when the daemon stops. */
  readonly drainTimeoutMs: number;
  /** Directory of fault points; only fault tests give one. */
  readonly faultDirectory: string | undefined;
}

/** Flags of the contract whose controllers do not exist here or are not switched: accepted, so that argument files keep working. */
const acceptedFlags = {
  debug: { type: "boolean", short: "d" },
  verbose: { type: "boolean", short: "v" },
  "pprof-address": { type: "string" },
  port: { type: "string" },
  "disable-node-config-controller": { type: "boolean" },
  "node-config-controller-watch-duration": { type: "string" },
  "disable-node-label-controller": { type: "boolean" },
  "disable-control-plane-config-controller": { type: "boolean" },
  "disable-update-node-config-controller": { type: "boolean" },
  "disable-feature-controller": { type: "boolean" },
  "disable-dns-rebalancer-controller": { type: "boolean" },
  "disable-csrsigning-controller": { type: "boolean" },
  "disable-upgrade-controller": { type: "boolean" },
  "feature-controller-max-retry-attempts": { type: "string" },
  "disable-service-args-controller": { type: "boolean" },
  "service-args-controller-check-interval": { type: "string" },
} as const;

const levels = ["info", "debug", "trace"] as const;

export function parseDaemonOptions(argv: readonly string[], env: NodeJS.ProcessEnv): DaemonOptions {
  const { values } = parse(argv);
  const { snap, snapCommon } = snapDirectories(env);
  return {
    root: values.root,
    snap,
    snapCommon: values.root === "/" || env.SNAP_COMMON !== undefined ? snapCommon : join(values.root, snapCommon),
    snapData: env.SNAP_DATA,
    snapInstance: env.SNAP_INSTANCE_NAME,
    stateDir: values["state-dir"] === "" ? undefined : values["state-dir"],
    serviceManager: serviceManagerOf(values["service-manager"], env),
    kubernetes: !values["agent-only"],
    logLevel: levels[Math.min(Math.max(Number(values["log-level"]) || 0, 0), levels.length - 1)] ?? "info",
    socketGroup: env.SOCKET_GROUP,
    drainTimeoutMs: seconds(values["drain-connection-timeout"]) * 1_000,
    faultDirectory: env.K8SD_FAULT_POINTS,
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        ...acceptedFlags,
        "log-level": { type: "string", short: "l", default: "0" },
        "state-dir": { type: "string", default: "" },
        root: { type: "string", default: "/" },
        "service-manager": { type: "string" },
        "agent-only": { type: "boolean", default: false },
        "drain-connection-timeout": { type: "string", default: "10s" },
      },
    });
  } catch (error) {
    throw new AppError("invalid", "cannot read the flags of k8sd", { cause: error });
  }
}

function serviceManagerOf(flag: string | undefined, env: NodeJS.ProcessEnv): ServiceManagerKind {
  const value = flag ?? (env.SNAP_INSTANCE_NAME !== undefined ? "snap" : "systemd");
  // The contract's name for "processes without systemd": the runtime of hosts that use Pebble.
  if (flag === undefined && env.K8SD_RUNTIME_ENVIRONMENT === "pebble") return "supervisor";
  if (value === "systemd" || value === "snap" || value === "supervisor") return value;
  throw new AppError("invalid", `cannot use the service manager ${JSON.stringify(value)}`, {
    field: "--service-manager",
    remedy: "Give systemd, snap or supervisor.",
  });
}

function seconds(text: string): number {
  const match = /^(\d+)s?$/.exec(text);
  if (match?.[1] !== undefined) return Number(match[1]);
  throw new AppError("invalid", `cannot read ${JSON.stringify(text)} as a number of seconds`, {
    field: "--drain-connection-timeout",
    remedy: "Give for example 10s.",
  });
}
