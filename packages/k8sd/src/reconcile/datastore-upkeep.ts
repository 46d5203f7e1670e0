import type { Logger } from "pino";
import { noteDefragmented } from "../cluster/defragmented.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { createMemberCalls, type EtcdMembersOptions } from "../datastore/etcd-members-calls.ts";
import { keepUp } from "../datastore/upkeep.ts";
import type { Reconciler } from "./loop.ts";

export interface DatastoreUpkeepDeps {
  /** The first endpoint is this node's own. */
  readonly connect: () => Promise<EtcdMembersOptions>;
  readonly datastore: () => Promise<Datastore>;
  readonly log: Logger;
  readonly now: () => number;
}

const periodMs = 60_000;

/** Looks after the room in the datastore's files. */
export function createDatastoreUpkeep({ connect, datastore, log, now }: DatastoreUpkeepDeps): Reconciler {
  return {
    name: "datastore-upkeep",
    reconcile: async (signal) => {
      const options = await connect();
      const calls = createMemberCalls(options);
      try {
        const { defragmented, full } = await keepUp({ calls, log }, options.endpoints[0] ?? "", signal);
        // One that is full takes no note either.
        if (full !== "still full") await noteDefragmented(await datastore(), defragmented, now(), signal);
      } finally {
        calls.close();
      }
      return periodMs;
    },
  };
}
