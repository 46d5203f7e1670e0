import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { webImage } from "../../kubernetes/images/names.ts";
import { createNode, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { join, joinToken } from "../join/nodes.ts";
import { isOn, migrates } from "./engines.ts";
import { createLoad, type UnderLoad } from "./load.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const config = "cluster-config:\n  network:\n    enabled: true\n";
describe.skipIf(reason !== undefined)("Kubernetes of a cluster whose datastore moves", () => {
  let network: Network;
  let founder: Host;
  let second: Host;
  let load: UnderLoad;

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    [founder, second] = (await Promise.all(["n1", "n2"].map((name) => createNode({ name, staged, network })))) as [
      Host,
      Host,
    ];
    await bootstrap(founder, config);
    await becomesReady(founder, "120s");
    await kubectl(founder, "create", "deployment", "old", `--image=${webImage}`, "--replicas=2", "--port=80");
    await kubectl(founder, "rollout", "status", "deployment/old", "--timeout=120s");
    load = await createLoad(founder);
  });
  afterAll(async () => {
    await founder?.[Symbol.asyncDispose]();
    await second?.[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  const pods = () =>
    kubectl(
      founder,
      ...["get", "pods", "-l", "app=old", "-o"],
      "jsonpath={range .items[*]}{.metadata.uid} {.status.startTime} {.status.containerStatuses[0].restartCount}{'\\n'}{end}",
    );
  const apiServer = async () =>
    (await founder.run("systemctl", "show", "--property=MainPID", "--value", "k8s-kube-apiserver")).stdout.trim();

  /** What is done while objects are created leaves pods and kube-apiserver where they are. */
  async function underLoad(work: () => Promise<unknown>): Promise<void> {
    const before = { pods: await pods(), apiServer: await apiServer() };
    expect(before.pods).not.toBe("");
    await load(work);
    expect({ pods: await pods(), apiServer: await apiServer() }).toEqual(before);
  }

  /** Deployment, ReplicaSet, scheduler and kubelet: each has to see the other's writes. */
  async function controllersWork(name: string): Promise<void> {
    await kubectl(founder, "create", "deployment", name, `--image=${webImage}`, "--port=80");
    await kubectl(founder, "rollout", "status", `deployment/${name}`, "--timeout=120s");
    await kubectl(founder, "delete", "deployment", name);
  }

  test.each(["etcd", "sqlite"] as const)("goes on while it moves to %s under load", async (to) => {
    await underLoad(async () => console.info((await migrates(founder, to)).steps));
    await isOn(founder, to);
    await controllersWork(`on-${to}`);
  });

  test("goes on while a second control plane joins it on sqlite with one command", async () => {
    const token = await joinToken(founder, "n2");
    await underLoad(async () => {
      const { exitCode, stderr } = await join(second, "n2", token);
      console.info(stderr);
      expect(exitCode, stderr).toBe(0);
    });
    await becomesReady(second, "120s");
    await isOn(founder, "etcd");
    await controllersWork("on-two");
    await expectAgreement([founder, second]);
  });
});
