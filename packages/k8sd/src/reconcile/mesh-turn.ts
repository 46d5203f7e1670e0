import type { KnownMember } from "../cluster/roster.ts";

/** Who came in within so long of this node came with it. Shorter than `newcomerMs` of the detector, which waits for them. */
const longestMs = 60_000;
/** Of two cores, what one node's join and the first minute of its mesh take. */
const eachMs = 1_500;
/** So few disturb nobody. */
const few = 3;

/**
 * How long a node that has just come in waits before it opens its mesh, in milliseconds. Where many come at once (machines
 * that share processors start together), the first minute of a mesh would keep the others from coming in: each gives those
 * that come with it time, and then takes a turn of its own. Control planes do not wait, for the others go by them, and
 * neither does a node that was in before.
 *
 * @param random uniform in [0, 1)
 */
export function meshTurn(self: string, members: readonly KnownMember[], now: number, random: number): number {
  const own = members.find(({ id }) => id === self);
  if (own === undefined || own.role !== "worker" || own.changedAt + longestMs < now) return 0;
  const beside = members.filter(
    ({ id, state, changedAt }) =>
      id !== self &&
      (state === "reserved" || state === "joining" || (state === "active" && changedAt > own.changedAt - longestMs)),
  ).length;
  return beside <= few ? 0 : Math.min(longestMs, eachMs * beside) * (0.5 + random / 2);
}
