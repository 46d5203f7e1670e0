import type { Logger } from "pino";
import { createAddressExecutors } from "./cluster/address/executors.ts";
import type { AddressStep } from "./cluster/address/plan.ts";
import { type BootstrapDeps, createBootstrapExecutors } from "./cluster/bootstrap/executors.ts";
import type { BootstrapStep } from "./cluster/bootstrap/plan.ts";
import { connectDatastore } from "./cluster/connections.ts";
import { createJoinExecutors } from "./cluster/join/executors.ts";
import { linkOf } from "./cluster/join/link.ts";
import { linkToOthers } from "./cluster/join/link-to-others.ts";
import type { JoinStep } from "./cluster/join/plan.ts";
import { createMigrateExecutors } from "./cluster/migrate/executors.ts";
import type { MigrateStep } from "./cluster/migrate/plan.ts";
import type { Copies } from "./cluster/recover/copies.ts";
import { createRecoverExecutors, createRejoinExecutors } from "./cluster/recover/executors.ts";
import type { RecoverStep, RejoinStep } from "./cluster/recover/plan.ts";
import type { Roster } from "./cluster/roster.ts";
import { createFetchExecutors } from "./cluster/snapshot/fetch-executors.ts";
import type { FetchStep } from "./cluster/snapshot/fetch-plan.ts";
import { createRebuildExecutors, createRestoreExecutors } from "./cluster/snapshot/restore-executors.ts";
import type { RebuildStep, RestoreStep } from "./cluster/snapshot/restore-plan.ts";
import { createSaveExecutors } from "./cluster/snapshot/save-executors.ts";
import type { SaveStep } from "./cluster/snapshot/save-plan.ts";
import { workerArgv } from "./cluster/snapshot/worker-argv.ts";
import type { Member } from "./member.ts";
import type { Runner } from "./operations/runner.ts";

export interface OperationsDeps extends Omit<BootstrapDeps, "connect" | "listener"> {
  readonly log: Logger;
  readonly member: Member;
  readonly roster: Pick<Roster, "members">;
  readonly peers: Copies["peers"];
}

/** What carries out the steps of each operation that changes this node. */
export function registerOperations(runner: Runner, deps: OperationsDeps): void {
  const { member, nodeKey, now, peers, roster } = deps;
  const { clusterCert } = deps.host.paths;
  const common = (module: string) => ({
    ...deps,
    connect: connectDatastore,
    listener: member,
    log: deps.log.child({ module }),
  });
  const setUp = common("set-up");
  runner.register<BootstrapStep | RebuildStep>("bootstrap", {
    ...createBootstrapExecutors(setUp),
    ...createRebuildExecutors(setUp),
  });
  runner.register<JoinStep>(
    "join",
    createJoinExecutors({ ...setUp, link: (input) => linkOf(input, { nodeKey, now }) }),
  );
  runner.register<RecoverStep>("recover", createRecoverExecutors(common("recovery")));
  runner.register<RejoinStep>("rejoin", createRejoinExecutors(common("recovery")));
  runner.register<MigrateStep>("migrate", createMigrateExecutors(common("migration")));
  runner.register<SaveStep>("snapshot", createSaveExecutors({ ...common("snapshot"), worker: workerArgv() }));
  runner.register<FetchStep>("fetch-snapshot", createFetchExecutors(common("snapshot")));
  runner.register<RestoreStep>("restore", createRestoreExecutors(common("snapshot")));
  runner.register<AddressStep>(
    "set-address",
    createAddressExecutors({
      ...common("address"),
      peers,
      link: (input) => linkToOthers(input, { members: roster.members(), nodeKey, clusterCert, now }),
    }),
  );
}
