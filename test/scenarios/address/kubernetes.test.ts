import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, k8s, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { webImage } from "../../kubernetes/images/names.ts";
import { createNode, waitForDaemon } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { addAddress, addressFromBoot, dropAddress, otherAddress } from "./addresses.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("a node with pods gets another address", () => {
  let host: Host;
  let podsBefore = "";

  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests() });
    await bootstrap(host);
    await becomesReady(host);
    await kubectl(host, "create", "deployment", "web", `--image=${webImage}`, "--replicas=2", "--port=80");
    await kubectl(host, "expose", "deployment", "web");
    await kubectl(host, "rollout", "status", "deployment/web", "--timeout=120s");
    podsBefore = await pods();
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  /** Who they are, where, since when, and how often they were started again. */
  const pods = () =>
    kubectl(
      host,
      ...["get", "pods", "-o"],
      "jsonpath={range .items[*]}{.metadata.uid} {.status.podIP} {.status.startTime} {.status.containerStatuses[0].restartCount}{'\\n'}{end}",
    );
  const internalIp = () =>
    kubectl(host, "get", "node", host.name, "-o", "jsonpath={.status.addresses[?(@.type=='InternalIP')].address}");
  const fetchPage = async (): Promise<string> => {
    const address = await kubectl(host, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}");
    return (await host.run("curl", "-sS", "--max-time", "5", `http://${address}/cgi-bin/hostname`)).stdout.trim();
  };

  async function worksAt(address: string): Promise<void> {
    await becomesReady(host, "120s");
    await expect.poll(internalIp, { timeout: 60_000 }).toBe(address);
    const { stdout } = await k8s(host, ["config"]);
    expect(stdout).toContain(`server: https://${address}:6443`);
    await host.writeFile("/root/own.conf", stdout, 0o600);
    const nodes = await host.run("k8s", "kubectl", "--kubeconfig", "/root/own.conf", "get", "nodes", "-o", "name");
    expect(nodes.stdout.trim()).toBe(`node/${host.name}`);
    await expect
      .poll(() => kubectl(host, "get", "endpoints", "kubernetes", "-o", "jsonpath={.subsets[*].addresses[*].ip}"), {
        timeout: 60_000,
      })
      .toBe(address);
    // After a reboot pods have new addresses, and what is recorded of them is old for a moment.
    await expect.poll(fetchPage, { timeout: 60_000 }).toMatch(/^web-/);
    // Through kube-apiserver to the kubelet, which shows its new certificate.
    expect(await kubectl(host, "exec", "deployment/web", "--", "echo", "said")).toBe("said\n");
    // Bearer tokens are asked of k8sd at its new address.
    expect((await kubectl(host, "auth", "can-i", "get", "pods")).trim()).toBe("yes");
    await expectAgreement([host]);
  }

  test("by one command, and they go on as if nothing had happened", async () => {
    const address = otherAddress(host);
    await addAddress(host, address);
    const result = await k8s(host, ["set-address", address]);
    expect(result.exitCode, result.stderr).toBe(0);
    await dropAddress(host, host.address, address);
    await worksAt(address);
    expect(await pods()).toBe(podsBefore);
  });

  test("and its host another name: Kubernetes knows the node by its own [F41] [F42]", async () => {
    await host.run("hostnamectl", "set-hostname", "Another-Name.example");
    await host.run("systemctl", "restart", "k8s-kubelet", "k8sd");
    await waitForDaemon(host);
    const overrides = () =>
      host.run("grep", "-h", "hostname-override", "/var/snap/k8s/common/args/kubelet").catch(String);
    await expect.poll(async () => JSON.stringify(await overrides()), { timeout: 60_000 }).toContain(host.name);
    await becomesReady(host, "120s");
    expect((await kubectl(host, "get", "nodes", "-o", "name")).trim()).toBe(`node/${host.name}`);
    expect(await pods()).toBe(podsBefore);
  });

  test("by itself, when it has another one after a reboot", async () => {
    const address = otherAddress(host, 150);
    await addressFromBoot(host, address);
    await host.powerOff();
    await host.boot();
    await waitForDaemon(host);
    await expect.poll(internalIp, { timeout: 120_000 }).toBe(address);
    await kubectl(host, "rollout", "status", "deployment/web", "--timeout=120s");
    await worksAt(address);
  });
});
