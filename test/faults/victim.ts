import type { BoundaryMoment } from "@k8sd/k8sd/operations/boundary.ts";
import type { Host } from "../hosts/types.ts";
import { waitForDaemon } from "../node.ts";
import type { FaultPoints } from "./points.ts";

/** `npm test` tries the part that matters most with the daemon alone; `pnpm test:faults` everything. */
export const everything = process.env.K8SD_FAULTS !== "main";

export type Victim = "k8sd" | "the power";
export const victims: readonly Victim[] = everything ? ["k8sd", "the power"] : ["k8sd"];

/** kill -9 of a unit's main process; systemd starts it again. */
export async function kill(host: Host, unit: string): Promise<void> {
  const { stdout } = await host.run("systemctl", "show", "--property=MainPID", "--value", unit);
  if (stdout.trim() !== "0") await host.run("kill", "-9", stdout.trim());
}

/** Ends the daemon, or all of the host, and starts it again. */
export async function hit(host: Host, victim: Victim): Promise<void> {
  if (victim === "k8sd") return kill(host, "k8sd");
  await host.cutPower();
  await host.boot();
}

export interface Interruption<T> {
  readonly host: Host;
  readonly points: FaultPoints;
  readonly step: number;
  readonly moment?: BoundaryMoment;
  /** The command that has the daemon do the operation. */
  readonly run: () => Promise<T>;
  readonly fault: () => Promise<unknown>;
}

/**
 * An operation stands at a step while the fault happens, and goes on when the daemon is there again.
 * @returns how the command ended; undefined if it never got an answer
 */
export async function interrupted<T>(interruption: Interruption<T>): Promise<T | undefined> {
  const { host, points, step, moment = "in-run", run, fault } = interruption;
  await points.hold(step, moment);
  const running = run().catch(() => undefined);
  await points.reached(step, moment);
  await fault();
  await points.clear();
  const ended = await running;
  await waitForDaemon(host);
  return ended;
}
