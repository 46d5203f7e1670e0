import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, k8s, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { createNetwork, type Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { joins, joinToken } from "./nodes.ts";
import { fetches, fieldOf as fieldIn, startPod } from "./pods.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("a worker of a cluster on sqlite", () => {
  let network: Network;
  let founder: Host;
  let worker: Host;

  beforeAll(async () => {
    network = await createNetwork();
    const staged = await stagedForTests();
    [founder, worker] = await Promise.all([createNode({ staged, network }), createNode({ staged, network })]);
    await bootstrap(founder);
    await becomesReady(founder);
  });
  afterAll(async () => {
    await worker?.[Symbol.asyncDispose]();
    await founder?.[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  const pod = (name: string, node: string, ...command: string[]) => startPod(founder, name, node, ...command);
  const fieldOf = (kind: string, name: string, path: string) => fieldIn(founder, kind, name, path);

  test("joins with one command, and its Node becomes Ready with its role and its own pod range", async () => {
    await joins(worker, "w1", await joinToken(founder, "--worker"));
    await kubectl(founder, "wait", "node/w1", "--for=condition=Ready", "--timeout=120s");
    await expect.poll(() => fieldOf("node", "w1", ".spec.podCIDR"), { timeout: 30_000 }).toBe("10.1.1.0/24");
    const labels = JSON.parse(await fieldOf("node", "w1", ".metadata.labels")) as Record<string, string>;
    expect(labels).toMatchObject({ "node-role.kubernetes.io/worker": "", "k8sd.io/role": "worker" });
    expect(labels).not.toHaveProperty("node-role.kubernetes.io/control-plane");
    const status = await k8s(worker, ["local-node-status", "--output-format", "json"]);
    expect(JSON.parse(status.stdout)).toEqual({ name: "w1", address: worker.address, "cluster-role": "worker" });
  });

  test("its pods and those of the control plane reach each other, directly and through a Service", async () => {
    await pod("web", "w1");
    await pod("talker", founder.name, "sleep", "3600");
    await pod("far", "w1", "sleep", "3600");
    await kubectl(founder, "expose", "pod", "web", "--port=80");
    const [web, service] = await Promise.all([
      fieldOf("pod", "web", ".status.podIP"),
      fieldOf("service", "web", ".spec.clusterIP"),
    ]);
    expect(web).toMatch(/^10\.1\.1\./);
    for (const from of ["talker", "far"]) {
      for (const address of [web, service]) await fetches(founder, from, address, "web");
    }
  });

  test("its pods keep their address towards pods, and go out under the worker's", async () => {
    const masqueraded = async (): Promise<number> => {
      const { stdout } = await worker.run("iptables", "-t", "nat", "-nvxL", "K8SD-MASQUERADE");
      return Number(/^\s*(\d+)\s.*MASQUERADE/m.exec(stdout)?.[1]);
    };
    const before = await masqueraded();
    const connect = async (address: string, port: number): Promise<void> => {
      await kubectl(founder, "exec", "far", "--", "sh", "-c", `echo | nc -w 5 ${address} ${port}`);
    };
    await pod("near", founder.name);
    await connect(await fieldOf("pod", "near", ".status.podIP"), 80);
    expect(await masqueraded()).toBe(before);
    await connect(founder.address, 6400);
    expect(await masqueraded()).toBeGreaterThan(before);
  });

  test("tells logs and runs commands through the control plane", async () => {
    expect(await kubectl(founder, "exec", "far", "--", "hostname")).toBe("far\n");
    await kubectl(founder, "logs", "web");
  });

  test("is still there after a power cut", async () => {
    await worker.cutPower();
    await worker.boot();
    await expect.poll(async () => (await k8s(worker, ["local-node-status"])).exitCode, { timeout: 60_000 }).toBe(0);
    // The Node says Ready for a while whatever has become of it; a new pod is started by the kubelet alone.
    await pod("after", "w1");
    await expectAgreement([founder, worker]);
  });
});
