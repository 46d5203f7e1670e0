import { parseDuration } from "../../host/duration.ts";
import { annotation } from "./annotations.ts";
import type { Problem } from "./problems.ts";
import type { ClusterConfig } from "./types.ts";

type Annotated = Pick<ClusterConfig, "annotations">;

/** A node that restarts, or is cut off for a moment, is not dead. */
const shortestMs = 60_000;

/** How long a node may be dead before the cluster takes it out by itself; undefined: for ever. */
export function removeDeadAfter(config: Annotated | undefined): number | undefined {
  const text = config?.annotations?.[annotation.removeDeadNodesAfter];
  return text === undefined ? undefined : parseDuration(text);
}

export function deadNodes(config: Annotated): readonly Problem[] {
  const text = config.annotations?.[annotation.removeDeadNodesAfter];
  if (text === undefined || (removeDeadAfter(config) ?? 0) >= shortestMs) return [];
  const name = `annotation ${annotation.removeDeadNodesAfter}`;
  return [
    {
      field: "annotations",
      message: `invalid ${name}: ${JSON.stringify(text)} is no duration of at least 1m`,
      remedy: 'Give hours or days, for example "72h", or leave it out: then no node is removed.',
    },
  ];
}
