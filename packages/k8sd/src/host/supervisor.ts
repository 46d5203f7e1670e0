import { join } from "node:path";

import { AppError, errorText } from "../lib/app-error.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { createExclusive } from "../lib/exclusive.ts";
import { namesIn } from "../lib/read-file.ts";
import { type CheckStatus, runCheck } from "./health-check.ts";
import { readLayers } from "./layer-files.ts";
import type { HostLog } from "./log.ts";
import { editOwnLayer, renderLayerService } from "./own-layer.ts";
import type { Paths } from "./paths.ts";
import type { LayerServiceText } from "./pebble-layer.ts";
import {
  type PlannedCheck,
  planServices,
  type ServicePlan,
  type Shutdown,
  shutdownOf,
  withDependents,
  withRequired,
} from "./pebble-plan.ts";
import { checkedServiceName, createServiceFiles } from "./service-files.ts";
import { readTail, rotateLog } from "./service-log.ts";
import { createServiceRunner, type ServiceRunner } from "./service-runner.ts";
import type { ServiceManager } from "./services.ts";

export interface SupervisorOptions {
  readonly paths: Pick<Paths, "args" | "appliedArgs" | "runService" | "snap" | "snapCommon" | "supervisor">;
  /** Default 1 s, as the format says. */
  readonly startedAfterMs?: number;
}

export interface SupervisorDeps {
  readonly log: HostLog;
  readonly clock?: Clock;
  /** A service or check asks for the end of the daemon. */
  readonly onShutdown?: (how: Shutdown, cause: string) => void;
}

export interface Supervisor extends ServiceManager, AsyncDisposable {
  /** Takes over what an earlier daemon left running, ends what should not run, starts what should. */
  resume(signal: AbortSignal): Promise<void>;
  checks(): ReadonlyMap<string, CheckStatus>;
}

const rotateEveryMs = 10_000;

/** Services as child processes described by layers. They outlive the daemon; the next one takes them over with `resume`. */
export function createSupervisor(options: SupervisorOptions, deps: SupervisorDeps): Supervisor {
  const { paths } = options;
  const directories = paths.supervisor;
  const { log, clock = systemClock, onShutdown = () => {} } = deps;
  const files = createServiceFiles(paths);
  const queue = createExclusive();
  const runners = new Map<string, ServiceRunner>();
  const checkStates = new Map<string, CheckStatus>();
  const closed = new AbortController();
  const logPath = (name: string): string => join(directories.logs, `${name}.log`);
  let checksRun: { controller: AbortController; text: string; done: Promise<unknown> } | undefined;

  const rotation = setInterval(() => {
    for (const name of runners.keys()) {
      rotateLog(logPath(name)).catch((error: unknown) =>
        log.warn({ service: name, reason: errorText(error) }, "Cannot rotate a log"),
      );
    }
  }, rotateEveryMs);
  rotation.unref();

  function runner(name: string): ServiceRunner {
    const existing = runners.get(checkedServiceName(name));
    if (existing !== undefined) return existing;
    const made = createServiceRunner(
      {
        name,
        logPath: logPath(name),
        recordPath: join(directories.processes, name),
        startedAfterMs: options.startedAfterMs ?? 1_000,
      },
      { log, clock, onShutdown },
    );
    runners.set(name, made);
    return made;
  }

  async function plan(): Promise<ServicePlan> {
    return planServices(await readLayers(directories.layers));
  }

  function editLayer(edit: (services: Map<string, LayerServiceText>) => void, signal: AbortSignal): Promise<boolean> {
    return queue.run("own layer", signal, () => editOwnLayer(directories.layers, edit));
  }

  async function setStartup(name: string, startup: "enabled" | "disabled", signal: AbortSignal): Promise<void> {
    await editLayer((services) => {
      const service = services.get(name);
      if (service !== undefined) services.set(name, { ...service, startup });
    }, signal);
  }

  async function startService(name: string, signal: AbortSignal): Promise<void> {
    await setStartup(name, "enabled", signal);
    const now = await plan();
    if (!now.services.has(name)) {
      throw new AppError("not-found", `cannot start ${name}: it is in no layer`, { remedy: "Set the node up again." });
    }
    // One after the other: what is required is up before what requires it.
    for (const service of withRequired(now, name)) await runner(service.name).start(service, signal);
    watchChecks(now);
  }

  async function stopService(name: string, signal: AbortSignal): Promise<void> {
    await setStartup(checkedServiceName(name), "disabled", signal);
    for (const each of await dependentsOf(name)) await runner(each).stop(signal);
  }

  /** A layer that cannot be read keeps nothing from being stopped. */
  async function dependentsOf(name: string): Promise<readonly string[]> {
    try {
      return withDependents(await plan(), name);
    } catch (error) {
      log.warn({ service: name, reason: errorText(error) }, "Cannot see which services depend on this one");
      return [name];
    }
  }

  /** Checks run while the daemon does; a changed plan begins them anew. */
  function watchChecks({ checks, services }: ServicePlan): void {
    const text = JSON.stringify([...checks.values()]);
    if (text === checksRun?.text) return;
    checksRun?.controller.abort();
    checkStates.clear();
    const controller = new AbortController();
    const signal = AbortSignal.any([controller.signal, closed.signal]);
    const run = async (check: PlannedCheck): Promise<void> => {
      checkStates.set(check.name, { state: "up", failures: 0 });
      try {
        await runCheck(check, (status) => onCheck(check, status), signal);
      } catch (error) {
        if (!signal.aborted) log.warn({ check: check.name, reason: errorText(error) }, "A check ended");
      }
    };
    const onCheck = (check: PlannedCheck, status: CheckStatus): void => {
      const before = checkStates.get(check.name)?.state;
      checkStates.set(check.name, status);
      if (status.state !== "down" || before === "down") return;
      log.warn({ check: check.name, reason: status.reason }, "Check is down");
      for (const service of services.values()) {
        const action = service.onCheckFailure[check.name];
        if (action === undefined || action === "ignore") continue;
        if (action !== "restart") onShutdown(shutdownOf(action, true), check.name);
        else void restartForCheck(service.name, check.name);
      }
    };
    checksRun = { controller, text, done: Promise.all([...checks.values()].filter(({ enabled }) => enabled).map(run)) };
  }

  async function restartForCheck(name: string, check: string): Promise<void> {
    try {
      if (runner(name).status().state === "running") await manager.restart(name, closed.signal);
    } catch (error) {
      if (!closed.signal.aborted)
        log.warn({ service: name, check, reason: errorText(error) }, "Cannot restart a service whose check is down");
    }
  }

  const manager: Supervisor = {
    apply: (spec, signal) =>
      queue.run(spec.name, signal, async () => {
        const changedFiles = await files.apply(spec);
        const changedLayer = await editLayer((services) => {
          services.set(spec.name, renderLayerService(spec, paths, services.get(spec.name)?.startup ?? "disabled"));
        }, signal);
        return changedLayer || changedFiles === "changed" ? "changed" : "unchanged";
      }),

    start: (name, signal) => queue.run(checkedServiceName(name), signal, () => startService(name, signal)),
    stop: (name, signal) => queue.run(name, signal, () => stopService(name, signal)),

    restart: (name, signal) =>
      queue.run(checkedServiceName(name), signal, async () => {
        // A layer that cannot be read is found while the service still runs.
        await plan();
        await runner(name).stop(signal);
        await startService(name, signal);
      }),

    async status(name) {
      return runner(name).status();
    },

    async statuses(names) {
      return names.map((name) => runner(name).status());
    },

    remove: (name, signal) =>
      queue.run(name, signal, async () => {
        await stopService(name, signal);
        await editLayer((services) => void services.delete(name), signal);
        await files.remove(name);
        runners.delete(name);
      }),

    logs: async (name, lines) => readTail(logPath(checkedServiceName(name)), lines),

    checks: () => checkStates,

    async resume(signal) {
      const now = await plan();
      for (const name of await namesIn(directories.processes)) {
        if (now.services.get(name)?.enabled !== true) await runner(name).stop(signal);
      }
      const enabled = [...now.services.values()].filter((service) => service.enabled);
      for (const service of enabled) {
        if (await runner(service.name).adopt(service, signal)) continue;
        // It goes on being tried; one service that does not start holds no other one back.
        await runner(service.name)
          .start(service, signal)
          .catch((error: unknown) => {
            signal.throwIfAborted();
            log.warn({ service: service.name, reason: errorText(error) }, "Service does not start yet");
          });
      }
      watchChecks(now);
    },

    async [Symbol.asyncDispose]() {
      clearInterval(rotation);
      closed.abort();
      await Promise.all([checksRun?.done, ...[...runners.values()].map((each) => each.release())]);
    },
  };
  return manager;
}
