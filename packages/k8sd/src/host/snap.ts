import { AppError } from "../lib/app-error.ts";
import { createExclusive } from "../lib/exclusive.ts";
import { poll, withDeadline } from "../lib/wait.ts";
import type { HostLog } from "./log.ts";
import type { Paths } from "./paths.ts";
import type { Run } from "./run.ts";
import { checkedServiceName, createServiceFiles } from "./service-files.ts";
import type { ServiceManager, ServiceStatus } from "./services.ts";

export interface SnapOptions {
  readonly paths: Pick<Paths, "args" | "appliedArgs">;
  /** `$SNAP_INSTANCE_NAME`: "k8s", or "k8s_two" for a second one on the machine. */
  readonly instance: string;
}

export interface SnapDeps {
  readonly run: Run;
  readonly log: HostLog;
}

/** snapd waits for the service itself; containerd may take five minutes. */
const changeMs = 310_000;
const askMs = 30_000;

/** Services that the snap declares; units belong to snapd, arguments are in the same files as everywhere. */
export function createSnapServices(options: SnapOptions, deps: SnapDeps): ServiceManager {
  const files = createServiceFiles(options.paths);
  const queue = createExclusive();
  const appName = (service: string): string => `${options.instance}.${checkedServiceName(service)}`;
  const snapctl = (args: readonly string[], signal: AbortSignal, timeoutMs: number) =>
    deps.run(["snapctl", ...args], { signal, timeoutMs });

  /** A line of `snapctl services`: name, startup, current state, notes. */
  async function show(name: string, signal: AbortSignal): Promise<{ enabled: boolean; active: boolean } | undefined> {
    const { stdout } = await snapctl(["services"], signal, askMs);
    const row = stdout
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .find((fields) => fields[0] === appName(name));
    return row === undefined ? undefined : { enabled: row[1] === "enabled", active: row[2] === "active" };
  }

  async function require(name: string, signal: AbortSignal): Promise<{ enabled: boolean; active: boolean }> {
    const found = await show(name, signal);
    if (found !== undefined) return found;
    throw new AppError("not-found", `cannot start ${name}: the snap ${options.instance} has no such service`, {
      remedy: `Refresh the snap: 'snap refresh ${options.instance}'.`,
    });
  }

  async function stopNow(name: string, signal: AbortSignal): Promise<void> {
    const found = await show(name, signal);
    if (found === undefined || (!found.active && !found.enabled)) return;
    await snapctl(["stop", "--disable", appName(name)], signal, changeMs);
    await poll(async (deadline) => ((await show(name, deadline))?.active === true ? undefined : true), {
      what: `see ${name} stopped`,
      deadlineMs: askMs,
      signal,
    });
  }

  async function statusOf(name: string, signal: AbortSignal): Promise<ServiceStatus> {
    const found = await show(name, signal);
    if (found === undefined) return { state: "stopped", reason: "not installed" };
    if (found.active) return { state: "running" };
    return found.enabled ? { state: "failed", reason: "it is to run and does not" } : { state: "stopped" };
  }

  return {
    apply: (spec, signal) =>
      queue.run(spec.name, signal, async () => {
        checkedServiceName(spec.name);
        return files.apply(spec);
      }),

    start: (name, signal) =>
      queue.run(name, signal, async () => {
        const deadline = withDeadline(signal, changeMs + askMs);
        const { enabled, active } = await require(name, deadline);
        if (!enabled || !active) await snapctl(["start", "--enable", appName(name)], deadline, changeMs);
      }),

    stop: (name, signal) => queue.run(name, signal, () => stopNow(name, withDeadline(signal, changeMs + 2 * askMs))),

    restart: (name, signal) =>
      queue.run(name, signal, async () => {
        const deadline = withDeadline(signal, 2 * changeMs);
        const { enabled, active } = await require(name, deadline);
        // snapd starts a stopped service when it is restarted, but leaves it off at the next boot.
        if (!enabled || !active) await snapctl(["start", "--enable", appName(name)], deadline, changeMs);
        else await snapctl(["restart", appName(name)], deadline, changeMs);
      }),

    status: statusOf,
    statuses: (names, signal) => Promise.all(names.map((name) => statusOf(name, signal))),

    remove: (name, signal) =>
      queue.run(name, signal, async () => {
        await stopNow(name, withDeadline(signal, changeMs + 2 * askMs));
        await files.remove(name);
      }),

    async logs(name, lines, signal) {
      const unit = `snap.${appName(name)}.service`;
      try {
        const { stdout } = await deps.run(
          ["journalctl", "-u", unit, "-n", String(lines), "-o", "cat", "--no-pager", "--quiet"],
          {
            signal,
            timeoutMs: askMs,
          },
        );
        return stdout === "" ? [] : stdout.split("\n");
      } catch (error) {
        signal.throwIfAborted();
        // A strictly confined snap may not read the journal; logs explain other errors and must not take their place.
        deps.log.warn({ service: name, error }, "Cannot read the journal");
        return [];
      }
    },
  };
}
