import { once } from "node:events";
import { connect } from "node:net";

import { execa } from "execa";

import { errorText } from "../lib/app-error.ts";
import { sleep, withDeadline } from "../lib/wait.ts";
import type { PlannedCheck } from "./pebble-plan.ts";
import { resolveIdentity } from "./user-names.ts";

export interface CheckStatus {
  readonly state: "up" | "down";
  /** Failures in a row. */
  readonly failures: number;
  /** Why the last attempt failed. */
  readonly reason?: string;
}

/**
 * Runs a check at its period until the signal ends. `onChange` hears each outcome that changes something: `down` after
 * `threshold` failures in a row (once, until it was up again), `up` after one success.
 */
export async function runCheck(
  check: PlannedCheck,
  onChange: (status: CheckStatus) => void,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    await sleep(check.periodMs, signal);
    const reason = await attempt(check, signal);
    if (signal.aborted) return;
    if (reason === undefined) {
      if (failures > 0) onChange({ state: "up", failures: 0 });
      failures = 0;
    } else {
      failures += 1;
      onChange({ state: failures >= check.threshold ? "down" : "up", failures, reason });
    }
  }
}

/** Undefined when the check succeeds. */
async function attempt(check: PlannedCheck, signal: AbortSignal): Promise<string | undefined> {
  try {
    await probe(check, withDeadline(signal, check.timeoutMs));
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}

async function probe({ probe: wanted, timeoutMs }: PlannedCheck, signal: AbortSignal): Promise<void> {
  switch (wanted.kind) {
    case "http": {
      const response = await fetch(wanted.url, { headers: wanted.headers, signal });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`${wanted.url} answered ${response.status}`);
      return;
    }
    case "tcp": {
      const socket = connect({ host: wanted.host, port: wanted.port });
      try {
        await once(socket, "connect", { signal });
      } finally {
        socket.destroy();
      }
      return;
    }
    case "exec": {
      const [program = "", ...args] = wanted.argv;
      const { uid, gid } = await resolveIdentity(wanted.identity);
      await execa(program, args, {
        env: wanted.environment,
        cwd: wanted.identity.workingDir,
        timeout: timeoutMs,
        cancelSignal: signal,
        stdin: "ignore",
        maxBuffer: 64 * 1024,
        ...(uid === undefined ? {} : { uid }),
        ...(gid === undefined ? {} : { gid }),
      });
      return;
    }
  }
}
