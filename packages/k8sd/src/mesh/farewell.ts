import type { DetectorOptions } from "./detector-options.ts";
import type { Timers } from "./timers.ts";
import { type NodeId, type Random, sample } from "./types.ts";

export interface FarewellDeps {
  readonly timers: Timers;
  readonly random: Random;
  live(): readonly NodeId[];
  /** Sends a message that says it and asks for an answer. */
  tell(id: NodeId): void;
  done(): void;
}

/** Tells that this node leaves on purpose until enough others have confirmed it, or time is up. */
export interface Farewell {
  start(): void;
  confirm(from: NodeId): void;
}

export function createFarewell(options: DetectorOptions, deps: FarewellDeps): Farewell {
  const confirmed = new Set<NodeId>();
  const enough = Math.min(options.indirectProbes, deps.live().length);
  let finished = false;

  function finish(): void {
    if (finished) return;
    finished = true;
    deps.done();
  }

  function tell(): void {
    if (finished) return;
    const others = deps.live().filter((id) => !confirmed.has(id));
    for (const id of sample(others, options.indirectProbes, deps.random)) deps.tell(id);
    deps.timers.after(options.directTimeoutMs, tell);
  }

  function check(): void {
    if (confirmed.size >= enough) finish();
  }

  return {
    start: () => {
      deps.timers.after(options.leaveDeadlineMs, finish);
      tell();
      check();
    },
    confirm: (from) => {
      confirmed.add(from);
      check();
    },
  };
}
