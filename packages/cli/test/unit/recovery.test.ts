import type { RecoveryPlan } from "@k8sd/api-types";
import { expect, test } from "vitest";
import { recoveryOutput, recoveryPlanText } from "../../src/format/recovery.ts";

const plan: RecoveryPlan = {
  keeps: "n1",
  epoch: { from: 1, to: 2 },
  members: [
    { name: "n1", address: "10.0.0.1:6400", self: true, log: { term: 3, index: 812 } },
    { name: "node2", address: "10.0.0.2:6400", self: false, problem: "no answer within 5 s" },
    { name: "n3", address: "10.0.0.3:6400", self: false, log: { term: 3, index: 800 } },
  ],
  rejoin: ["node2", "n3"],
  backup: "/var/lib/etcd/before-epoch-2-of-n1",
};

test("the plan names every copy, what may be lost, who comes back and where the old data stays", () => {
  expect(recoveryPlanText(plan)).toBe(
    `Control planes:
  n1      10.0.0.1:6400   this node, has 812 entries of term 3
  node2   10.0.0.2:6400   no answer within 5 s
  n3      10.0.0.3:6400   has 800 entries of term 3
Recovering keeps the copy of n1 and begins epoch 2 of the cluster (now 1).
Changes that reached only node2 are lost; nobody who answers has them.
node2, n3 will take over this copy by themselves when they answer again.
The data that is now on this node is kept in /var/lib/etcd/before-epoch-2-of-n1.
`,
  );
});

test("with all copies at hand nothing can be lost", () => {
  const compared = { ...plan, members: plan.members.filter(({ log }) => log !== undefined), rejoin: ["n3"] };
  expect(recoveryPlanText(compared)).toContain("All copies were compared.\n");
});

test("the result says what a person may still have to do", () => {
  expect(recoveryOutput({ epoch: 2, backup: "/b", rejoin: ["n2"] }).plain()).toBe(
    `Recovered the cluster; it is in epoch 2 now.
The old data of this node is in /b.
Waiting for n2: each comes back by itself when it is started. Remove what is lost for good with 'k8s remove-node NAME --force'.`,
  );
  expect(recoveryOutput({ epoch: 2, backup: "/b", rejoin: [] }).plain()).not.toContain("remove-node");
});
