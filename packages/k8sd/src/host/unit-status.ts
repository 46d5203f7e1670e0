import type { ServiceStatus } from "./services.ts";

/** What is asked of `systemctl show`. */
export const unitProperties = [
  "LoadState",
  "ActiveState",
  "SubState",
  "UnitFileState",
  "MainPID",
  "NRestarts",
  "Result",
  "ExecMainCode",
  "ExecMainStatus",
  "NeedDaemonReload",
] as const;

export type Unit = Readonly<Record<(typeof unitProperties)[number], string>>;

/** Reads what `systemctl show` says of several units: paragraphs in the order of the question. */
export function parseUnits(output: string): readonly Unit[] {
  return output
    .trim()
    .split(/\n\s*\n/)
    .map(parseUnit);
}

/** Reads `Key=value` lines; a property that an older systemd does not know is empty. */
function parseUnit(output: string): Unit {
  const values = new Map(
    output.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
  return Object.fromEntries(unitProperties.map((key) => [key, values.get(key) ?? ""])) as Unit;
}

export function unitStatus(unit: Unit): ServiceStatus {
  if (unit.LoadState === "not-found") return { state: "stopped", reason: "not installed" };
  const pid = Number(unit.MainPID);
  const restarts = Number(unit.NRestarts);
  const end = endReason(unit);
  return {
    state: stateOf(unit),
    ...(pid > 0 ? { pid } : {}),
    ...(unit.NRestarts === "" ? {} : { restarts }),
    ...(end === undefined || unit.ActiveState === "active" ? {} : { reason: end }),
  };
}

function stateOf(unit: Unit): ServiceStatus["state"] {
  switch (unit.ActiveState) {
    case "active":
      return unit.SubState === "exited" ? "stopped" : "running";
    case "reloading":
    case "deactivating":
      return "running";
    // Between two attempts too: systemd will try again.
    case "activating":
      return "starting";
    case "inactive":
      return "stopped";
    case "failed":
      return "failed";
    default:
      return "unknown";
  }
}

/** CLD_EXITED of waitid(2). */
const exited = "1";

function endReason(unit: Unit): string | undefined {
  switch (unit.Result) {
    case "":
    case "success":
      return undefined;
    case "exit-code":
      return unit.ExecMainCode === exited || unit.ExecMainCode === "0"
        ? `exit code ${unit.ExecMainStatus}`
        : `killed by signal ${unit.ExecMainStatus}`;
    case "signal":
      return `killed by signal ${unit.ExecMainStatus}`;
    case "core-dump":
      return `crashed by signal ${unit.ExecMainStatus}`;
    case "oom-kill":
      return "killed because memory ran out";
    case "timeout":
      return "it did not start or stop in time";
    case "protocol":
      return "it ended before it said that it is ready";
    default:
      return unit.Result;
  }
}
