import { AppError, errorText } from "../lib/app-error.ts";
import type { Clock } from "../lib/clock.ts";
import { createExclusive } from "../lib/exclusive.ts";
import { orAborted, sleep, withDeadline } from "../lib/wait.ts";
import {
  type Exit,
  endLeftovers,
  endProcess,
  findProcess,
  forgetProcess,
  type Process,
  spawnProcess,
} from "./child-process.ts";
import type { HostLog } from "./log.ts";
import { type ExitAction, type PlannedService, type Shutdown, shutdownOf } from "./pebble-plan.ts";
import { readTail } from "./service-log.ts";
import type { ServiceStatus } from "./services.ts";

export interface RunnerOptions {
  readonly name: string;
  readonly logPath: string;
  readonly recordPath: string;
  /** How long a service lives before it counts as started. */
  readonly startedAfterMs: number;
}

export interface RunnerDeps {
  readonly log: HostLog;
  readonly clock: Clock;
  /** A service whose end is to end the daemon ended. */
  readonly onShutdown: (how: Shutdown, service: string) => void;
}

/**
 * Keeps one service running.
 *
 *     stopped ──start──▶ starting ──lives long enough──▶ running
 *        ▲                  ▲  └──────── ends ────┐        │ ends
 *        │                  └──── delay ──── backoff ◀─────┘
 *        └──stop── (any), and the end of a service that is not restarted ends in stopped or failed
 */
export interface ServiceRunner {
  /** Resolves when it counts as started; rejects when its first attempt ends before that, and goes on trying. */
  start(service: PlannedService, signal: AbortSignal): Promise<void>;
  /** Takes over the process of an earlier daemon; false when there is none. */
  adopt(service: PlannedService, signal: AbortSignal): Promise<boolean>;
  stop(signal: AbortSignal): Promise<void>;
  status(): ServiceStatus;
  /** Stops watching; the process goes on. */
  release(): Promise<void>;
}

export function createServiceRunner(options: RunnerOptions, deps: RunnerDeps): ServiceRunner {
  const turns = createExclusive();
  let status: ServiceStatus = { state: "stopped" };
  let restarts = 0;
  let current:
    | { process: Process | undefined; readonly controller: AbortController; done: Promise<void>; killDelayMs: number }
    | undefined;

  const set = (state: ServiceStatus["state"], pid?: number, reason?: string): void => {
    status = { state, restarts, ...(pid === undefined ? {} : { pid }), ...(reason === undefined ? {} : { reason }) };
  };

  async function keepRunning(
    service: PlannedService,
    adopted: Process | undefined,
    signal: AbortSignal,
    first: (error?: AppError) => void,
  ): Promise<void> {
    let failuresInARow = 0;
    let next = adopted;
    for (;;) {
      const startedAt = deps.clock.now();
      let reason: string;
      let failed = true;
      let action: ExitAction;
      try {
        const child = next ?? (await launch(service));
        const startedAfterMs = next === undefined ? options.startedAfterMs : 0;
        next = undefined;
        if (current !== undefined) current.process = child;
        signal.throwIfAborted();
        const exit = await watch(child, startedAfterMs, signal, first);
        await endLeftovers(child.pid, signal);
        reason = describe(exit);
        failed = exit === "unknown" || !("code" in exit) || exit.code !== 0;
        action = failed ? service.onFailure : service.onSuccess;
      } catch (error) {
        if (signal.aborted) return;
        // A program that cannot be run at all may be there after an upgrade: it is tried again like one that ended.
        reason = errorText(error);
        action = service.onFailure;
      }
      if (current !== undefined) current.process = undefined;
      await forgetProcess(options.recordPath);
      deps.log.warn({ service: options.name, reason }, "Service ended");
      if (action !== "restart") {
        set(failed ? "failed" : "stopped", undefined, reason);
        first(await endedEarly(reason));
        if (action !== "ignore") deps.onShutdown(shutdownOf(action, failed), options.name);
        return;
      }
      const lived = deps.clock.now() - startedAt;
      failuresInARow = lived >= service.backoff.limitMs ? 0 : failuresInARow + 1;
      set("starting", undefined, reason);
      first(await endedEarly(reason));
      await sleep(backoffDelay(service.backoff, failuresInARow), signal);
      restarts += 1;
    }
  }

  function launch(service: PlannedService): Promise<Process> {
    set("starting");
    return spawnProcess({
      argv: service.argv,
      // The daemon's own service manager is none of a service's business.
      env: { ...process.env, NOTIFY_SOCKET: undefined, ...service.environment },
      identity: service.identity,
      logPath: options.logPath,
      recordPath: options.recordPath,
    });
  }

  async function watch(
    child: Process,
    startedAfterMs: number,
    signal: AbortSignal,
    first: (error?: AppError) => void,
  ): Promise<Exit> {
    const settle = (): void => {
      set("running", child.pid);
      first();
    };
    let timer: NodeJS.Timeout | undefined;
    if (startedAfterMs === 0) settle();
    else {
      set("starting", child.pid);
      timer = setTimeout(settle, startedAfterMs);
    }
    try {
      return await child.exit(signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async function endedEarly(reason: string): Promise<AppError> {
    const output = (await readTail(options.logPath, 20)).join("\n");
    return new AppError(
      "unavailable",
      `cannot start ${options.name}: ${reason}${output === "" ? "" : `; its last output:\n${output}`}`,
      { remedy: `Look at its output in ${options.logPath}.` },
    );
  }

  /** `first` is settled by the first attempt alone; later calls change nothing. */
  function begin(service: PlannedService, adopted: Process | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const controller = new AbortController();
    restarts = 0;
    const mine = { process: adopted, controller, done: Promise.resolve(), killDelayMs: service.killDelayMs };
    current = mine;
    const first = (error?: AppError): void => (error === undefined ? resolve() : reject(error));
    mine.done = keepRunning(service, adopted, controller.signal, first)
      .catch((error: unknown) => {
        if (controller.signal.aborted) return;
        set("failed", undefined, errorText(error));
        reject(error);
      })
      .finally(() => {
        if (current === mine) current = undefined;
        reject(new AppError("cancelled", `cannot start ${options.name}: it was stopped`));
      });
    // Whoever waits for the start hears of it; a start that nobody waits for is seen in the status.
    promise.catch(() => undefined);
    return promise;
  }

  async function stop(signal: AbortSignal): Promise<void> {
    const stopping = current;
    if (stopping !== undefined) {
      stopping.controller.abort();
      await stopping.done;
      if (stopping.process !== undefined) await endProcess(stopping.process.pid, stopping.killDelayMs, signal);
    } else {
      // Of an earlier daemon, or of a stop that was given up.
      const left = await findProcess(options.recordPath);
      if (left !== undefined) await endProcess(left.pid, 5_000, signal);
    }
    await forgetProcess(options.recordPath);
    restarts = 0;
    status = { state: "stopped" };
  }

  const inTurn = <T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> => turns.run(options.name, signal, work);
  return {
    start: (service, signal) =>
      inTurn(signal, async () => {
        if (current !== undefined && status.state === "running") return;
        await stop(signal);
        await orAborted(begin(service, undefined), withDeadline(signal, options.startedAfterMs + 30_000));
      }),
    adopt: (service, signal) =>
      inTurn(signal, async () => {
        if (current !== undefined) return true;
        const found = await findProcess(options.recordPath);
        if (found === undefined) return false;
        void begin(service, found);
        deps.log.info({ service: options.name, pid: found.pid }, "Took over a running service");
        return true;
      }),
    stop: (signal) => inTurn(signal, () => stop(signal)),
    status: () => status,
    async release() {
      const released = current;
      released?.controller.abort();
      await released?.done;
    },
  };
}

/** The first delay doubles (or as the layer says) with each end that follows quickly on the one before, up to the limit. */
export function backoffDelay(backoff: PlannedService["backoff"], failuresInARow: number): number {
  return Math.min(backoff.delayMs * backoff.factor ** Math.max(0, failuresInARow - 1), backoff.limitMs);
}

function describe(exit: Exit): string {
  if (exit === "unknown") return "it ended";
  return "code" in exit ? `exit code ${exit.code}` : `killed by ${exit.signal}`;
}
