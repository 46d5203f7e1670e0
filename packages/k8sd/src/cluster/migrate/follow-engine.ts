import type { IdentityStore } from "../../node-db/identity.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";

interface FollowEngineDeps {
  readonly identity: Pick<IdentityStore<BootstrapInput>, "read" | "commit">;
  readonly now: () => number;
}

/** A worker has no part in a move of the data. What it hears afterwards is what it tells, also without the cluster. */
export function createFollowEngine({ identity, now }: FollowEngineDeps): (type: string) => void {
  return (type) => {
    const self = identity.read();
    if (self === undefined || self.view.config.datastore.type === type) return;
    const { config } = self.view;
    const { "external-servers": _servers, ...datastore } = config.datastore;
    identity.commit(
      { ...self, view: { ...self.view, config: { ...config, datastore: { ...datastore, type } } } },
      now(),
    );
  };
}
