import type { Liveness } from "../../mesh/member-table.ts";
import type { DeadView } from "./plan.ts";

export interface DeadWatchDeps {
  /** What the mesh believes of the others; undefined without a mesh. */
  readonly liveness: () => ReadonlyMap<string, Liveness> | undefined;
  /** Milliseconds that only go forward: a clock that is set must not make a node dead for days. */
  readonly elapsed: () => number;
}

/** For how long this node has taken others for dead; forgotten with a restart, so a start is never a reason to remove. */
export interface DeadWatch {
  /** Looks; to be called more often than a node could be back and away again unseen. */
  look(): DeadView;
}

export function createDeadWatch({ liveness, elapsed }: DeadWatchDeps): DeadWatch {
  let since: ReadonlyMap<string, number> = new Map();
  return {
    look: () => {
      const now = elapsed();
      // One that said good-bye is off as well, on purpose or not.
      const dead = [...(liveness() ?? [])].flatMap(([id, { state }]) =>
        state === "dead" || state === "left" ? [id] : [],
      );
      since = new Map(dead.map((id) => [id, since.get(id) ?? now]));
      return new Map([...since].map(([id, at]) => [id, now - at]));
    },
  };
}
