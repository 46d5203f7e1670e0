import type { MeshClock, NodeId } from "./types.ts";

/** Lost packets and starved processes are none of it. */
const failures = 3;
const silentMs = 3_000;

/**
 * Finds connections that swallow what is sent: a machine on the way has forgotten them, or the address that they were made
 * from is gone. TCP itself would notice after a quarter of an hour.
 */
export function createWays(clock: Pick<MeshClock, "monotonic">) {
  const silent = new Map<NodeId, { count: number; readonly since: number }>();
  return {
    /** @returns true when the way to the node is to be made anew */
    isBroken(id: NodeId, answered: boolean): boolean {
      if (answered) {
        silent.delete(id);
        return false;
      }
      const now = clock.monotonic();
      const known = silent.get(id) ?? { count: 0, since: now };
      known.count++;
      silent.set(id, known);
      if (known.count < failures || now - known.since < silentMs) return false;
      silent.delete(id);
      return true;
    },
  };
}
