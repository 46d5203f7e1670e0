import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, k8s, kubectl } from "../../expect-node.ts";
import { expectOut, expectRefused, type Identity, identityOf } from "../../expect-out.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { webImage } from "../../kubernetes/images/names.ts";
import { createNode, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { joins, joinToken } from "../join/nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const config = "datastore-type: etcd\ncluster-config:\n  network:\n    enabled: true\n";

describe.skipIf(reason !== undefined)("Kubernetes of a cluster that lost one of two control planes", () => {
  let network: Network;
  let n1: Host;
  let n2: Host;
  let before: HostSnapshot;
  let identity: Identity;

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    [n1, n2] = (await Promise.all(["n1", "n2"].map((name) => createNode({ name, staged, network })))) as [Host, Host];
    before = await n2.snapshot();
    await bootstrap(n1, config);
    await joins(n2, "n2", await joinToken(n1, "n2"));
    identity = await identityOf(n2, n1);
    await becomesReady(n1, "120s");
  });
  afterAll(async () => {
    await n1?.[Symbol.asyncDispose]();
    await n2?.[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  const podsOn = (name: string) =>
    kubectl(
      n1,
      ...["get", "pods", "--field-selector", `spec.nodeName=${name}`, "-o"],
      "jsonpath={range .items[*]}{.metadata.uid} {.status.startTime} {.status.containerStatuses[0].restartCount}{'\\n'}{end}",
    );

  test("works again after a recovery: pods go on, and all controllers see what is new", async () => {
    await kubectl(n1, "create", "deployment", "old", `--image=${webImage}`, "--replicas=4", "--port=80");
    await kubectl(n1, "rollout", "status", "deployment/old", "--timeout=120s");
    const before = await podsOn("n1");
    expect(before).not.toBe("");
    await n2.cutPower();
    const result = await k8s(n1, ["recover", "--yes"]);
    expect(result.exitCode, result.stderr).toBe(0);
    await becomesReady(n1, "120s");
    expect(await podsOn("n1")).toBe(before);
    // Deployment, ReplicaSet, scheduler, kubelet and kube-proxy: each has to see the other's writes.
    await kubectl(n1, "create", "deployment", "new", `--image=${webImage}`, "--replicas=2", "--port=80");
    await kubectl(n1, "expose", "deployment", "new");
    const nodeOnly = '{"spec":{"template":{"spec":{"nodeName":"n1"}}}}';
    await kubectl(n1, "patch", "deployment", "new", "--patch", nodeOnly);
    await kubectl(n1, "rollout", "status", "deployment/new", "--timeout=120s");
    const address = await kubectl(n1, "get", "service", "new", "-o", "jsonpath={.spec.clusterIP}");
    const page = () => n1.run("curl", "-sS", "--max-time", "5", `http://${address}/cgi-bin/hostname`);
    await expect.poll(async () => (await page()).stdout, { timeout: 60_000 }).toMatch(/^new-/);
    await kubectl(n1, "delete", "deployment", "old");
    await expect.poll(() => podsOn("n1"), { timeout: 60_000 }).not.toContain(before.split(" ")[0]);
  });

  test("takes the lost one out, and agrees on who is left; what was lost is clean when it comes back", async () => {
    const removed = await k8s(n1, ["remove-node", "n2", "--force"]);
    expect(removed.exitCode, removed.stderr).toBe(0);
    await expectAgreement([n1], { timeoutMs: 60_000 });
    await n2.boot();
    await expectOut(n2, { before, timeoutMs: 180_000 });
    await expectRefused(identity, n2, [n1]);
    await expectAgreement([n1], { timeoutMs: 60_000 });
  });
});
