import type { ClusterEpoch, DatastoreCopy, StandingResponse } from "@k8sd/api-types";
import { expect, test } from "vitest";
import { createNotices } from "../../../src/cluster/notices.ts";
import { type FollowEpochDeps, followEpoch } from "../../../src/cluster/recover/follow-epoch.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const recoveredAt = 1_000_000;
const base = aBootstrapInput({ kubernetes: false });
const datastore = {
  engine: "etcd",
  endpoints: ["https://127.0.0.1:2379"],
  clientPort: 2379,
  peerPort: 2380,
  initialCluster: { state: "existing", peers: {} },
} as const;

/** A node in epoch 1 that hears of one in epoch 2; what it does about it. */
async function does(options: {
  quorum: boolean;
  etcdStartedAt: number;
  theirClockAhead?: number;
  standing?: StandingResponse;
}) {
  const {
    quorum,
    etcdStartedAt,
    theirClockAhead = 0,
    standing = { state: "active", epoch: 2, incarnation: 1 },
  } = options;
  const notices = createNotices();
  const audited: string[] = [];
  let self = { id: "id-n1", clusterId: "c", view: { ...base, view: { ...base.view, datastore } } };
  const now = () => recoveredAt + 60_000;
  const copy: DatastoreCopy = {
    id: "id-n2",
    name: "n2",
    cluster: {
      id: "c",
      epoch: 2,
      recovery: { id: "r", by: "n2", term: 2, index: 9, at: recoveredAt + theirClockAhead },
    },
    addresses: ["192.0.2.2"],
    engine: "etcd",
    log: { term: 2, index: 9 },
    quorum: true,
    rejoining: false,
    now: now() + theirClockAhead,
  };
  const own: ClusterEpoch = { id: "id-n1", name: "n1", cluster: { id: "c", epoch: 1 }, rejoining: false };
  const started: string[] = [];
  const deps = {
    paths: base.view.paths,
    member: () => self,
    copies: {
      epoch: () => own,
      epochs: async () => [copy],
      others: async () => [{ name: "n2", address: "192.0.2.2:6400", copy }],
      own: async () => ({ ...copy, ...own, quorum }),
      link: async () => ({ standing: async () => standing }),
    },
    identity: {
      commit: (identity: typeof self) => {
        self = identity;
      },
    },
    runner: {
      start: (plan: { operation: string }) => {
        started.push(plan.operation);
        return { id: "1", events: (async function* () {})(), result: Promise.resolve({}) };
      },
      recover: async () => {},
    },
    journal: { unfinished: () => [] },
    etcdStartedAt: async () => etcdStartedAt,
    notices,
    audit: {
      record: ({ action, outcome }: { action: string; outcome: string }) => void audited.push(`${action} ${outcome}`),
    },
    log: { error: () => {}, warn: () => {} },
    now,
  } as unknown as FollowEpochDeps;
  const outcomes = [await followEpoch(deps, new AbortController().signal)];
  if (started.length === 0)
    outcomes.push(await followEpoch({ ...deps, etcdStartedAt: async () => now() }, new AbortController().signal));
  return { started, outcomes, audited, reasons: notices.all().map(({ name, reason }) => `${name} ${reason}`) };
}

const before = recoveredAt - 10_000;
const after = recoveredAt + 10_000;

test("a node that was away, or had no quorum, follows a recovery", async () => {
  expect(await does({ quorum: true, etcdStartedAt: after })).toEqual({
    started: ["rejoin"],
    outcomes: ["rejoined"],
    reasons: [],
    audited: ["cluster.rejoin begun", "cluster.rejoin ok"],
  });
  expect(await does({ quorum: false, etcdStartedAt: before })).toMatchObject({ started: ["rejoin"] });
});

test("one that worked all the while does not, and never will, also with its etcd started anew", async () => {
  expect(await does({ quorum: true, etcdStartedAt: before })).toEqual({
    started: [],
    outcomes: ["in step", "in step"],
    reasons: ["OneCluster RecoveryDeclined"],
    audited: ["cluster.decline-recovery ok"],
  });
});

test("a difference of the clocks is none of time", async () => {
  const away = { quorum: true, etcdStartedAt: after, theirClockAhead: 120_000 };
  expect(await does(away)).toMatchObject({ started: ["rejoin"] });
  const worked = { quorum: true, etcdStartedAt: before, theirClockAhead: -120_000 };
  expect(await does(worked)).toMatchObject({ started: [] });
});

test("one that the recovered copy does not know, or knows as removed, keeps what it has and says what to do", async () => {
  const away = { quorum: false, etcdStartedAt: after };
  const stays = { started: [], outcomes: ["in step", "in step"], reasons: ["OneCluster LeftOut"], audited: [] };
  for (const state of ["unknown", "removed"] as const) {
    expect(await does({ ...away, standing: { state, epoch: 2, incarnation: 0 } })).toEqual(stays);
  }
});
