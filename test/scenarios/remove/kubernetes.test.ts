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

/** Two Pods, with a Secret, of which one must always run. */
const guarded = `
apiVersion: v1
kind: Secret
metadata: { name: web }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{ name: web, image: "${webImage}", imagePullPolicy: IfNotPresent }]
      volumes: [{ name: web, secret: { secretName: web } }]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: web }
spec: { minAvailable: 1, selector: { matchLabels: { app: web } } }
`;

/** Two Nodes that no member owns: as a removal that was torn off leaves one, and as a virtual kubelet makes one. */
const unowned = `
apiVersion: v1
kind: Node
metadata: { name: left-over, labels: { k8sd.io/role: worker } }
---
apiVersion: v1
kind: Node
metadata: { name: virtual, labels: { type: virtual-kubelet } }
`;

describe.skipIf(reason !== undefined)("removal of a node with Pods", () => {
  let network: Network;
  let founder: Host;
  let worker: Host;
  let before: HostSnapshot;
  let identity: Identity;
  const copy = "/root/copy.conf";
  const whatKubeletsMay = [
    ["get", "services"],
    ["get", "node", "w1"],
    ["get", "--raw", "/healthz"],
  ];

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    [founder, worker] = await Promise.all([createNode({ staged, network }), createNode({ staged, network })]);
    before = await worker.snapshot();
    await bootstrap(founder);
    await becomesReady(founder);
    await joins(worker, "w1", await joinToken(founder, "w1", "--worker"));
    identity = await identityOf(worker, founder);
    await kubectl(founder, "wait", "node/w1", "--for=condition=Ready", "--timeout=120s");
    await founder.writeFile("/tmp/guarded.yaml", guarded);
    // So that both are on the worker.
    await kubectl(founder, "cordon", founder.name);
    await kubectl(founder, "apply", "-f", "/tmp/guarded.yaml");
    await kubectl(founder, "rollout", "status", "deployment/web", "--timeout=120s");
    await kubectl(founder, "uncordon", founder.name);
    await founder.writeFile("/tmp/w1.yaml", "{ apiVersion: v1, kind: Node, metadata: { name: w1 } }");
    await founder.writeFile(copy, await worker.readFile("/etc/kubernetes/kubelet.conf"), 0o600);
    for (const argv of whatKubeletsMay) expect(await as(copy, ...argv), argv.join(" ")).toMatchObject({ exitCode: 0 });
  });
  afterAll(async () => {
    await worker?.[Symbol.asyncDispose]();
    await founder?.[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  /** With a kubeconfig on the founder; `copy` is the worker's, taken while it was a member. */
  const as = (kubeconfig: string, ...argv: string[]) =>
    founder.tryRun(["env", `KUBECONFIG=${kubeconfig}`, "k8s", "kubectl", ...argv], { timeoutMs: 60_000 });

  const placed = async (): Promise<string[]> =>
    (await kubectl(founder, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}")).split(" ");

  test("moves them as their disruption budget allows, then nothing of it is left anywhere", async () => {
    expect(await placed()).toEqual(["w1", "w1"]);
    let fewest = Number.POSITIVE_INFINITY;
    let over = false;
    const watching = (async () => {
      while (!over) {
        const ready = await kubectl(founder, "get", "deployment", "web", "-o", "jsonpath={.status.availableReplicas}");
        fewest = Math.min(fewest, Number(ready || 0));
      }
    })();
    const result = await k8s(founder, ["remove-node", "w1"]);
    over = true;
    await watching;
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stderr).toContain("Ask its Pods to go elsewhere");
    expect(fewest).toBeGreaterThanOrEqual(1);
    await kubectl(founder, "rollout", "status", "deployment/web", "--timeout=120s");
    expect(await placed()).toEqual([founder.name, founder.name]);
    await expectAgreement([founder]);
    await expectOut(worker, { before });
    await expectRefused(identity, worker, [founder]);
  });

  test("refuses a copy of its kubelet's certificate everything, also while k8sd is down, and nobody else anything", async () => {
    const refusesAll = async (reason: RegExp) => {
      for (const argv of [...whatKubeletsMay, ["create", "--validate=false", "-f", "/tmp/w1.yaml"]]) {
        const { exitCode, stderr } = await as(copy, ...argv);
        expect(exitCode, argv.join(" ")).not.toBe(0);
        expect(stderr, argv.join(" ")).toMatch(reason);
      }
    };
    const own = () => as("/etc/kubernetes/kubelet.conf", "get", "node", founder.name);
    await refusesAll(/Forbidden.*the certificate is that of a node that is no member of the cluster/s);
    expect(await own()).toMatchObject({ exitCode: 0 });
    await founder.run("systemctl", "stop", "k8sd");
    try {
      await founder.run("systemctl", "restart", "k8s-kube-apiserver");
      await expect.poll(async () => (await own()).exitCode, { timeout: 120_000 }).toBe(0);
      await refusesAll(/node-webhook.*connection refused/s);
    } finally {
      await founder.run("systemctl", "start", "k8sd");
    }
  });

  test("[B20] lets it join again at once, with Pods; meanwhile a Node that was left over goes, one that others made stays", async () => {
    await founder.writeFile("/tmp/unowned.yaml", unowned);
    await kubectl(founder, "apply", "-f", "/tmp/unowned.yaml");
    await joins(worker, "w1", await joinToken(founder, "w1", "--worker"));
    await kubectl(founder, "wait", "node/w1", "--for=condition=Ready", "--timeout=120s");
    await kubectl(founder, "cordon", founder.name);
    await kubectl(founder, "rollout", "restart", "deployment/web");
    await kubectl(founder, "rollout", "status", "deployment/web", "--timeout=120s");
    await kubectl(founder, "uncordon", founder.name);
    await expect.poll(placed, { timeout: 30_000 }).toEqual(["w1", "w1"]);
    const nodes = async () => (await kubectl(founder, "get", "nodes", "-o", "name")).split(/\s+/).filter(Boolean);
    await expect.poll(nodes, { timeout: 90_000, interval: 1_000 }).not.toContain("node/left-over");
    expect(await nodes()).toContain("node/virtual");
    await kubectl(founder, "delete", "node", "virtual");
    await expectAgreement([founder, worker]);
  });

  test("does not wait for Pods that cannot go when it is forced", async () => {
    await kubectl(founder, "delete", "pdb", "web");
    await founder.writeFile("/tmp/never.yaml", guarded.replace("minAvailable: 1", "minAvailable: 2"));
    await kubectl(founder, "apply", "-f", "/tmp/never.yaml");
    const result = await k8s(founder, ["remove-node", "w1", "--force"]);
    expect(result.exitCode, result.stderr).toBe(0);
    await expectAgreement([founder]);
    await expectOut(worker, { before });
    await expectRefused(identity, worker, [founder]);
  });
});
