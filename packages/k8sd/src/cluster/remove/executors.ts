import type { Executors, StepContext } from "../../operations/plan.ts";
import type { Connections } from "../connections.ts";
import { createLedger } from "../ledger.ts";
import type { RemoveInput, RemoveStep } from "./plan.ts";
import type { Leaving, TakeAway } from "./take-away.ts";

export interface RemoveDeps {
  readonly connections: () => Connections;
  readonly takeAway: TakeAway;
  readonly now: () => number;
}

export function createRemoveExecutors({ connections, takeAway, now }: RemoveDeps): Executors<RemoveStep> {
  const inputOf = (context: StepContext): RemoveInput => context.input as RemoveInput;
  const leaving = (context: StepContext): Leaving => {
    const { member, force, until } = inputOf(context);
    return { ...member, removal: { force, until } };
  };
  return {
    "mark-leaving": {
      run: async (_step, context) => {
        const { member, force, until } = inputOf(context);
        const ledger = createLedger(await connections().datastore());
        await ledger.leave(member.id, now(), context.signal, { force, until });
      },
    },
    drain: { run: (_step, context) => takeAway.drain(leaving(context), inputOf(context).drainMs, context) },
    "leave-datastore": { run: (_step, context) => takeAway.leaveDatastore(leaving(context), context) },
    "delete-node": { run: (_step, context) => takeAway.deleteNode(leaving(context), context) },
    "forget-member": { run: (_step, context) => takeAway.forget(leaving(context), context) },
  };
}
