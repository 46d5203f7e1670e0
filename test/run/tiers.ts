/** A tier is a set of tests that needs the same of the machine. */
export interface Tier {
  readonly name: "unit" | "integration" | "scenario" | "sim" | "faults";
  /** True when it needs the staged programs and test hosts. */
  readonly needsHosts: boolean;
  /** True when `npm test` without a name runs it. */
  readonly main: boolean;
  /** Files of a minute and more that `npm test` leaves to the tier's own command; others there guard the same in part. */
  readonly beyond?: readonly string[];
}

export const tiers: readonly Tier[] = [
  { name: "unit", needsHosts: false, main: true },
  { name: "integration", needsHosts: false, main: true },
  {
    name: "scenario",
    needsHosts: true,
    main: true,
    beyond: [
      "test/datastore/etcdctl-others.test.ts",
      "test/datastore/postgres-history.test.ts",
      "test/datastore/postgres-snapshot.test.ts",
      "test/scenarios/address/kubernetes.test.ts",
      "test/scenarios/address/of-three.test.ts",
      "test/scenarios/datastore/compaction.test.ts",
      "test/scenarios/datastore/watchers.test.ts",
      "test/scenarios/external-etcd/external-etcd.test.ts",
      "test/scenarios/join/five-nodes.test.ts",
      "test/scenarios/mesh/agent.test.ts",
      "test/scenarios/migrate/external.test.ts",
      "test/scenarios/migrate/hindered.test.ts",
      "test/scenarios/migrate/join.test.ts",
      "test/scenarios/migrate/kubernetes.test.ts",
      "test/scenarios/migrate/pause.test.ts",
      "test/scenarios/migrate/postgres.test.ts",
      "test/scenarios/postgres/kubernetes.test.ts",
      "test/scenarios/postgres/postgres.test.ts",
      "test/scenarios/recover/halves.test.ts",
      "test/scenarios/recover/kubernetes.test.ts",
      "test/scenarios/remove/hook.test.ts",
      "test/scenarios/remove/long-dead.test.ts",
      "test/scenarios/remove/unfinished.test.ts",
      "test/scenarios/seal-key/two-control-planes.test.ts",
      "test/scenarios/snapshot/external.test.ts",
      "test/scenarios/snapshot/kubernetes.test.ts",
      "test/scenarios/snapshot/restore.test.ts",
      "test/scenarios/snapshot/store.test.ts",
      "test/scenarios/tokens/reachability.test.ts",
    ],
  },
  { name: "sim", needsHosts: false, main: true },
  {
    name: "faults",
    needsHosts: true,
    main: true,
    beyond: [
      "test/faults/address.test.ts",
      "test/faults/fetch.test.ts",
      "test/faults/migrate-external.test.ts",
      "test/faults/migrate-postgres.test.ts",
      "test/faults/rebuild.test.ts",
      "test/faults/recover.test.ts",
    ],
  },
];
