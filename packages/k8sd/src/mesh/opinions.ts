import type { Entry } from "./member-table.ts";
import type { Update } from "./messages.ts";

/** What this node holds of another, as it tells it. */
export function updateOf({ id, state, incarnation, suspicion }: Entry): Update {
  const [by] = suspicion?.accusers ?? [];
  return by === undefined ? { id, state, incarnation } : { id, state, incarnation, by };
}

/** What a node has to hear first: that it is suspected or held for dead, so that it can object. */
export function opinionOf(entry: Entry | undefined): readonly Update[] {
  if (entry === undefined || entry.state === "alive" || entry.state === "unknown") return [];
  return [updateOf(entry)];
}
