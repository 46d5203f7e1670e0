import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, k8s, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { createNetwork, type Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { webImage } from "../../kubernetes/images/names.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { joins, joinToken } from "./nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const page = "/cgi-bin/hostname";

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

  /** Runs a pod on one node, whatever the scheduler thinks, and waits until it runs. */
  async function pod(name: string, node: string, ...command: string[]): Promise<void> {
    const overrides = JSON.stringify({ spec: { nodeName: node, terminationGracePeriodSeconds: 1 } });
    const image = [`--image=${webImage}`, "--image-pull-policy=IfNotPresent", `--overrides=${overrides}`];
    await kubectl(founder, "run", name, ...image, ...(command.length === 0 ? [] : ["--command", "--", ...command]));
    await kubectl(founder, "wait", `pod/${name}`, "--for=condition=Ready", "--timeout=120s");
  }

  const fieldOf = (kind: string, name: string, path: string) =>
    kubectl(founder, "get", kind, name, "-o", `jsonpath={${path}}`);

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
      for (const address of [web, service]) {
        // The image's busybox has no wget that works, its nc is enough for a page.
        const request = `printf 'GET ${page} HTTP/1.0\\r\\n\\r\\n' | nc -w 5 ${address} 80`;
        const fetched = () =>
          kubectl(founder, "exec", from, "--", "sh", "-c", request).catch((error: unknown) => String(error));
        await expect.poll(fetched, { timeout: 60_000, message: `${from} → ${address}` }).toMatch(/200 OK.*web/s);
      }
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
