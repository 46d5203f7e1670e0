import type { DetectorOptions } from "./detector-options.ts";
import type { Update } from "./messages.ts";
import type { Rumours } from "./rumours.ts";
import type { Timers } from "./timers.ts";
import { type NodeId, type Random, type Sender, sample, someOf } from "./types.ts";

export interface GossipDeps {
  readonly timers: Timers;
  readonly random: Random;
  readonly sender: Pick<Sender, "connected">;
  readonly rumours: Rumours;
  live(): readonly NodeId[];
  /** From 0 on, how slow this node finds itself: it sends as much less, or many that are short of time keep each other so. */
  awareness(): number;
  /** A message with as many rumours as it holds. */
  tell(to: NodeId): void;
}

/**
 * Passes rumours on, to a few nodes at a time, for as long as there are any. That somebody may be dead, and that somebody is
 * not, is passed on at once and to any node, for those connected may be the very ones that are slow. That somebody is new
 * has time: where many come at once, it costs each of them a handful of messages and no connection.
 */
export interface Gossip {
  spread(update: Update, urgency: "urgent" | "calm"): void;
  /** At once, and to more than others go to: a process that is starved may not get another turn in time. */
  object(update: Update): void;
}

export function createGossip(options: DetectorOptions, deps: GossipDeps): Gossip {
  const { timers, random, rumours } = deps;
  let urgent = false;
  let cancel: (() => void) | undefined;

  function tellSome(count: number): void {
    const live = deps.live();
    for (const to of urgent ? sample(live, count, random) : someOf(live, count, deps.sender, random)) {
      if (rumours.empty) break;
      deps.tell(to);
    }
  }

  function round(): void {
    cancel = undefined;
    tellSome(options.gossipFanout);
    urgent &&= !rumours.empty;
    if (!rumours.empty) schedule(1);
  }

  function schedule(share: number): void {
    const interval = urgent ? options.gossipIntervalMs : options.calmGossipIntervalMs;
    cancel = timers.after(share * interval * (1 + deps.awareness()), round);
  }

  function spread(update: Update, urgency: "urgent" | "calm"): void {
    rumours.add(update);
    if (urgency === "urgent" && !urgent) {
      urgent = true;
      cancel?.();
      cancel = undefined;
    }
    if (cancel === undefined) schedule(random.next());
  }

  return {
    spread,
    object: (update) => {
      spread(update, "urgent");
      tellSome(2 * options.gossipFanout);
    },
  };
}
