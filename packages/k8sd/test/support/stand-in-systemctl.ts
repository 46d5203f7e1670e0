import type { Run } from "../../src/host/run.ts";

/** What the stand-in knows of a unit. */
interface StandInUnit {
  active: boolean;
  enabled: boolean;
  stale: boolean;
}

/**
 * A stand-in for systemctl and journalctl: keeps the state of units in memory and records the commands that change
 * something. Real systemd is met in the scenarios.
 */
export function createStandInSystemctl(known: (unit: string) => boolean) {
  const units = new Map<string, StandInUnit>();
  const changes: string[] = [];
  const failing = new Set<string>();
  const unit = (name: string): StandInUnit => {
    const found = units.get(name) ?? { active: false, enabled: false, stale: false };
    units.set(name, found);
    return found;
  };
  const answer = (stdout: string) => ({ exitCode: 0, stdout, stderr: "" });
  const run: Run = async (argv) => {
    const [program, ...args] = argv;
    if (program === "journalctl") return answer("last words");
    if (args.includes("--version")) return answer("systemd 252 (252.38)");
    const [verb = "", name = ""] = args.filter((arg) => !arg.startsWith("-"));
    const state = unit(name);
    if (verb === "show") {
      const properties = {
        LoadState: known(name) ? "loaded" : "not-found",
        ActiveState: state.active ? "active" : "inactive",
        SubState: state.active ? "running" : "dead",
        UnitFileState: state.enabled ? "enabled" : "disabled",
        MainPID: state.active ? 42 : 0,
        NRestarts: 0,
        Result: failing.has(name) ? "exit-code" : "success",
        ExecMainCode: failing.has(name) ? 1 : 0,
        ExecMainStatus: failing.has(name) ? 3 : 0,
        NeedDaemonReload: state.stale ? "yes" : "no",
      };
      return answer(
        Object.entries(properties)
          .map((entry) => entry.join("="))
          .join("\n"),
      );
    }
    if (verb !== "reset-failed") changes.push([verb, name].join(" ").trim());
    if (verb === "daemon-reload") for (const each of units.values()) each.stale = false;
    if (verb === "enable") state.enabled = true;
    if (verb === "disable") state.enabled = false;
    if (verb === "stop") state.active = false;
    if (verb === "start" || verb === "restart") {
      if (failing.has(name)) throw new Error("exit code 1");
      state.active = true;
    }
    return answer("");
  };
  return { run, unit, changes, failing };
}
