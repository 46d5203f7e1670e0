import { readFile } from "node:fs/promises";
import { errorCode, isMissingFile } from "../lib/app-error.ts";

/** What the kernel counts start times in; the same on every architecture that Linux runs on today. */
const ticksPerSecond = 100;

/** When a process was started, by this machine's clock; undefined when it is gone. Milliseconds since the Unix epoch. */
export async function processStartedAt(pid: number, now: number): Promise<number | undefined> {
  try {
    const [stat, uptime] = await Promise.all([readFile(`/proc/${pid}/stat`, "utf8"), readFile("/proc/uptime", "utf8")]);
    // The name, in brackets, may hold anything; the start is the 20th field after it.
    const ticks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    return now - (Number.parseFloat(uptime) - ticks / ticksPerSecond) * 1000;
  } catch (error) {
    if (isMissingFile(error) || errorCode(error) === "ESRCH") return undefined;
    throw error;
  }
}
