import type { Logger } from "pino";
import { createMemberCalls, type EtcdMembersOptions } from "../datastore/etcd-members-calls.ts";
import { keepUp } from "../datastore/upkeep.ts";
import type { Reconciler } from "./loop.ts";

export interface DatastoreUpkeepDeps {
  /** The first endpoint is this node's own. */
  readonly connect: () => Promise<EtcdMembersOptions>;
  readonly log: Logger;
}

const periodMs = 60_000;

/** Looks after the room in the datastore's files. */
export function createDatastoreUpkeep({ connect, log }: DatastoreUpkeepDeps): Reconciler {
  return {
    name: "datastore-upkeep",
    reconcile: async (signal) => {
      const options = await connect();
      const calls = createMemberCalls(options);
      try {
        await keepUp({ calls, log }, options.endpoints[0] ?? "", signal);
      } finally {
        calls.close();
      }
      return periodMs;
    },
  };
}
