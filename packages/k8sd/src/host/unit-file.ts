import type { Paths } from "./paths.ts";
import type { ServiceSpec } from "./services.ts";

export interface UnitOptions {
  readonly paths: Pick<Paths, "runService" | "snap" | "snapCommon">;
  /** Version of the systemd that reads the unit. */
  readonly systemdVersion: number;
  /** `$SNAP_DATA` when this process has one. */
  readonly snapData?: string;
}

export function unitName(service: string): string {
  return `k8s-${service}.service`;
}

/** The unit file of a service; arguments and environment are in its argument files and need no new unit. */
export function renderUnit(spec: ServiceSpec, options: UnitOptions): string {
  const { paths } = options;
  const environment = {
    SNAP: paths.snap,
    SNAP_COMMON: paths.snapCommon,
    ...(options.snapData === undefined ? {} : { SNAP_DATA: options.snapData }),
  };
  return [
    "# Written by k8sd. Changes made here are lost; put them in a drop-in directory beside this file.",
    "[Unit]",
    `Description=${oneLine(spec.description)}`,
    `After=${["network.target", ...spec.after.map(unitName)].join(" ")}`,
    // A node that was without its datastore for an hour still comes back.
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    `Type=${spec.notifies ? "notify" : "exec"}`,
    `ExecStart=${[paths.runService, spec.name, spec.program].map(quoteCommand).join(" ")}`,
    ...Object.entries(environment).map(([key, value]) => `Environment=${quote(`${key}=${value}`)}`),
    "Restart=always",
    ...restartDelay(options.systemdVersion),
    // containerd on a slow disk loads its images before it says that it is ready.
    ...(spec.notifies ? ["TimeoutStartSec=300"] : []),
    `TimeoutStopSec=${spec.stopTimeoutSeconds}`,
    `KillMode=${spec.kill === "process" ? "process" : "control-group"}`,
    ...(spec.delegates ? ["Delegate=yes"] : []),
    "LimitNOFILE=1048576",
    "LimitNPROC=infinity",
    // Containers take their limit from the runtime. A core of anything else holds secrets, and would outlive the node's removal.
    `LimitCORE=${spec.delegates ? "infinity" : "0"}`,
    "TasksMax=infinity",
    // The last processes to be killed when memory runs out; pods have their own scores.
    "OOMScoreAdjust=-999",
    "",
    "[Install]",
    "WantedBy=multi-user.target",
    "",
  ].join("\n");
}

/** systemd 254 learned to wait longer each time; before, one delay has to do: short enough to be back, long enough to be no load. */
function restartDelay(version: number): readonly string[] {
  if (version < 254) return ["RestartSec=1"];
  return ["RestartSec=500ms", "RestartSteps=6", "RestartMaxDelaySec=30"];
}

/** systemd.syntax(7): double quotes with C escapes; `%` starts a specifier. */
function quote(value: string): string {
  return `"${oneLine(value).replace(/[\\"]/g, "\\$&").replaceAll("%", "%%")}"`;
}

/** Command lines additionally replace `$`. */
function quoteCommand(value: string): string {
  const quoted = quote(value).replaceAll("$", "$$$$");
  return /^"[\w@.,:/+-]+"$/.test(quoted) ? quoted.slice(1, -1) : quoted;
}

function oneLine(text: string): string {
  return text.replace(/[\r\n\0]+/g, " ");
}
