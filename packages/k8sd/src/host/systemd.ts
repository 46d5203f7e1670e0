import { rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, errorText } from "../lib/app-error.ts";
import { createExclusive } from "../lib/exclusive.ts";
import { readTextOrEmpty } from "../lib/read-file.ts";
import { withDeadline } from "../lib/wait.ts";
import { removeFile, writeFileAtomic } from "../lib/write-file.ts";
import type { HostLog } from "./log.ts";
import type { Paths } from "./paths.ts";
import type { Run } from "./run.ts";
import { checkedServiceName, createServiceFiles } from "./service-files.ts";
import type { ServiceManager } from "./services.ts";
import { renderUnit, unitName } from "./unit-file.ts";
import { parseUnits, type Unit, unitProperties, unitStatus } from "./unit-status.ts";

export interface SystemdOptions {
  readonly paths: Paths;
  readonly snapData?: string;
}

export interface SystemdDeps {
  readonly run: Run;
  readonly log: HostLog;
}

/** Longer than TimeoutStartSec of a unit that notifies: systemd's own answer is the better one. */
const startMs = 310_000;
/** Longer than any TimeoutStopSec plus the kill after it. */
const stopMs = 200_000;
const askMs = 15_000;
/** Lines of the log in an error message. */
const logTail = 8;

/**
 * Services as unit files of our own. Nothing is remembered: what systemd says is looked at before each change, so a second
 * call, or a call after a crash in the middle of one, changes only what is missing.
 */
export function createSystemd(options: SystemdOptions, deps: SystemdDeps): ServiceManager {
  const { paths } = options;
  const files = createServiceFiles(paths);
  const queue = createExclusive();
  const unitPath = (name: string): string => join(paths.systemdUnits, unitName(checkedServiceName(name)));
  const wantPath = (name: string): string => join(paths.systemdUnits, "multi-user.target.wants", unitName(name));
  let version: Promise<number> | undefined;

  const systemctl = (args: readonly string[], signal: AbortSignal, timeoutMs = askMs) =>
    deps.run(["systemctl", "--no-pager", "--no-ask-password", ...args], { signal, timeoutMs });

  async function systemdVersion(signal: AbortSignal): Promise<number> {
    const { stdout } = await systemctl(["--version"], signal);
    return Number(/^systemd (\d+)/.exec(stdout)?.[1] ?? 0);
  }

  async function showAll(names: readonly string[], signal: AbortSignal): Promise<readonly Unit[]> {
    if (names.length === 0) return [];
    const units = names.map((name) => unitName(checkedServiceName(name)));
    const { stdout } = await systemctl(["show", `--property=${unitProperties.join(",")}`, ...units], signal);
    return parseUnits(stdout);
  }

  async function show(name: string, signal: AbortSignal): Promise<Unit> {
    const [unit] = await showAll([name], signal);
    if (unit === undefined) throw new AppError("internal", `cannot read the state of ${name}: systemctl said nothing`);
    return unit;
  }

  /** The unit as its file says; systemd reads files again only when one that it knows was changed. */
  async function load(name: string, signal: AbortSignal): Promise<Unit> {
    const unit = await show(name, signal);
    if (unit.NeedDaemonReload !== "yes") return unit;
    // Services that start side by side need one reload between them: whoever comes second finds it done.
    await queue.run("daemon-reload", signal, async () => {
      if ((await show(name, signal)).NeedDaemonReload === "yes") await systemctl(["daemon-reload"], signal, 60_000);
    });
    return show(name, signal);
  }

  async function enable(name: string, unit: Unit, signal: AbortSignal): Promise<void> {
    if (unit.LoadState === "not-found") {
      throw new AppError("not-found", `cannot start ${name}: it has no unit file ${unitPath(name)}`, {
        remedy: "Set the node up again.",
      });
    }
    if (unit.UnitFileState === "masked") {
      throw new AppError("conflict", `cannot start ${name}: its unit is masked`, {
        remedy: `Run 'systemctl unmask ${unitName(name)}'.`,
      });
    }
    if (unit.UnitFileState !== "enabled") await systemctl(["enable", "--no-reload", unitName(name)], signal);
  }

  async function startNow(verb: "start" | "restart", name: string, signal: AbortSignal): Promise<void> {
    try {
      await systemctl([verb, unitName(name)], signal, startMs);
    } catch (error) {
      signal.throwIfAborted();
      const { state, reason } = unitStatus(await show(name, signal));
      const output = (await readLogs(name, logTail, signal)).join("\n");
      throw new AppError(
        error instanceof AppError ? error.kind : "internal",
        `cannot ${verb} ${name}: ${reason ?? `systemd says ${state}`}${output === "" ? "" : `; its last output:\n${output}`}`,
        // What systemctl printed says less, in more words.
        {
          details: { systemctl: errorText(error) },
          retryable: true,
          remedy: `Run 'journalctl -u ${unitName(name)}' to see its whole output.`,
        },
      );
    }
  }

  async function stopNow(name: string, signal: AbortSignal): Promise<void> {
    const unit = await load(name, signal);
    if (unit.ActiveState !== "inactive" && unit.ActiveState !== "failed")
      await systemctl(["stop", unitName(name)], signal, stopMs);
    if (unit.LoadState === "not-found") {
      await rm(wantPath(name), { force: true });
      return;
    }
    // A stopped service is no failed one, whatever its last exit code.
    await systemctl(["reset-failed", unitName(name)], signal).catch((error: unknown) =>
      deps.log.debug({ service: name, error }, "Nothing to reset"),
    );
    if (unit.UnitFileState === "enabled") await systemctl(["disable", "--no-reload", unitName(name)], signal);
  }

  async function readLogs(name: string, lines: number, signal: AbortSignal): Promise<readonly string[]> {
    // By this field and not with -u: what systemd itself says about the unit is in its status already.
    const unit = `_SYSTEMD_UNIT=${unitName(checkedServiceName(name))}`;
    const args = [unit, "-n", String(lines), "-o", "cat", "--no-pager", "--quiet"];
    try {
      const { stdout } = await deps.run(["journalctl", ...args], { signal, timeoutMs: askMs });
      return stdout === "" ? [] : stdout.split("\n");
    } catch (error) {
      signal.throwIfAborted();
      // Logs explain other errors; a missing journal must not take their place.
      deps.log.warn({ service: name, error }, "Cannot read the journal");
      return [];
    }
  }

  return {
    apply: (spec, signal) =>
      queue.run(spec.name, signal, async () => {
        version ??= systemdVersion(signal);
        const systemd = await version.catch((error: unknown) => {
          version = undefined;
          throw error;
        });
        const path = unitPath(spec.name);
        const content = renderUnit(spec, {
          paths,
          systemdVersion: systemd,
          ...(options.snapData === undefined ? {} : { snapData: options.snapData }),
        });
        const changedFiles = await files.apply(spec);
        if ((await readTextOrEmpty(path)) === content) return changedFiles;
        await writeFileAtomic({ path, content, mode: 0o644 });
        return "changed";
      }),

    start: (name, signal) =>
      queue.run(name, signal, async () => {
        const deadline = withDeadline(signal, startMs + 2 * askMs);
        const unit = await load(name, deadline);
        await enable(name, unit, deadline);
        if (unit.ActiveState !== "active") await startNow("start", name, deadline);
      }),

    stop: (name, signal) => queue.run(name, signal, () => stopNow(name, withDeadline(signal, stopMs + 2 * askMs))),

    restart: (name, signal) =>
      queue.run(name, signal, async () => {
        const deadline = withDeadline(signal, startMs + stopMs);
        await enable(name, await load(name, deadline), deadline);
        await startNow("restart", name, deadline);
      }),

    async status(name, signal) {
      return unitStatus(await show(name, signal));
    },

    async statuses(names, signal) {
      return (await showAll(names, signal)).map(unitStatus);
    },

    remove: (name, signal) =>
      queue.run(name, signal, async () => {
        const deadline = withDeadline(signal, stopMs + 60_000);
        await stopNow(name, deadline);
        await removeFile(unitPath(name));
        await rm(wantPath(name), { force: true });
        await files.remove(name);
        // systemd forgets a unit whose file is gone when it reads its files again.
        await load(name, deadline);
      }),

    logs: readLogs,
  };
}
