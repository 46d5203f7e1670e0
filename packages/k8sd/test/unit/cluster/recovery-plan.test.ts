import { describe, expect, test } from "vitest";
import { planSetAddress } from "../../../src/cluster/address/plan.ts";
import { planRecover, planRejoin } from "../../../src/cluster/recover/plan.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const ids = { nodeId: "id", clusterId: "c", backup: "/etcd/before-epoch-2-of-n1" };
const recovery = { id: "r", by: "n1", term: 3, index: 10, at: 0 };
const withKubernetes = aBootstrapInput({ kubernetes: true });
const agentOnly = aBootstrapInput({ kubernetes: false });

describe("a recovery", () => {
  const plan = (input: typeof agentOnly) =>
    planRecover({ ...ids, before: input, after: { ...input, epoch: 2 }, epoch: 2, recovery }, {}, "request");

  test("works on a copy until the epoch begins; only then the data is replaced", () => {
    const kinds = plan(agentOnly).steps.map(({ kind }) => kind);
    expect(kinds.slice(0, plan(agentOnly).commit)).toEqual([
      "stop-services",
      "copy-data",
      "replay-log",
      "rebuild-data",
    ]);
    expect(kinds.slice(plan(agentOnly).commit)).toEqual([
      "begin-epoch",
      "put-in-place",
      "start-datastore",
      "record-epoch",
      "resume-member",
    ]);
  });

  test("stops what reads the datastore and starts it again; what runs pods goes on", () => {
    const { steps } = plan(withKubernetes);
    const users = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    expect(steps[0]).toMatchObject({ kind: "stop-services", args: { services: ["etcd", ...users] } });
    expect(steps.find(({ kind }) => kind === "start-services")).toMatchObject({ args: { services: users } });
  });
});

test("a rejoin yields first, and from then on only goes forward", () => {
  const { steps, commit } = planRejoin({ ...ids, after: { ...agentOnly, epoch: 2 } }, "request");
  expect(steps[commit]).toMatchObject({ kind: "yield", title: "Yield to epoch 2" });
  expect(commit).toBe(0);
});

test("a change of address tells etcd and the cluster only where the node has a part in them", () => {
  const kinds = (after: typeof agentOnly) =>
    planSetAddress({ nodeId: "id", clusterId: "c", before: after, after }, {}, "request").steps.map(({ kind }) => kind);
  const view = { ...agentOnly.view, role: "worker" } as const;
  expect(kinds(agentOnly)).toEqual([
    "renew-certificates",
    "restart-services",
    "move-listener",
    "tell-cluster",
    "commit-node",
  ]);
  expect(kinds({ ...agentOnly, view })).toEqual([
    "renew-certificates",
    "restart-services",
    "move-listener",
    "commit-node",
  ]);
});
