import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, k8s, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { joins, joinToken } from "./nodes.ts";
import { fetches, fieldOf, startPod } from "./pods.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const config = "datastore-type: etcd\ncluster-config:\n  network:\n    enabled: true\n";
const controlPlaneFile = `extra-sans: [api.example.lan]
extra-node-kube-apiserver-args: { "--request-timeout": "2m" }
extra-node-kubelet-args: { "--max-pods": "77" }
extra-node-config-files: { note.txt: "of the control plane" }
`;
const workerFile = `extra-node-kube-proxy-args: { "--conntrack-max-per-core": "0" }
extra-node-kubelet-args: { "--node-labels": "example.com/room=cellar" }
extra-node-config-files: { note.txt: "of the worker" }
disable-system-tuning: true
`;

describe.skipIf(reason !== undefined)("three control planes and two workers with Kubernetes, from nothing", () => {
  let network: Network;
  let hosts: readonly Host[] = [];
  const at = (index: number): Host => {
    const host = hosts[index];
    if (host === undefined) throw new Error("the host was not made");
    return host;
  };

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    // A name as people give it to machines: capitals and dots.
    const names = ["n1", undefined, undefined, undefined, "Worker-2.Cellar.LAN"];
    hosts = await Promise.all(
      names.map((name) => createNode({ staged, network, ...(name === undefined ? {} : { name }) })),
    );
    await bootstrap(at(0), config);
    await becomesReady(at(0));
  });
  afterAll(async () => {
    await Promise.all(hosts.map((host) => host[Symbol.asyncDispose]()));
    await network?.[Symbol.asyncDispose]();
  });

  const joinsWithFile = async (host: Host, token: string, file: string, ...argv: string[]): Promise<void> => {
    const command = ["join-cluster", token, "--file", "-", "--timeout", "240s", ...argv];
    const { exitCode, stdout, stderr } = await k8s(host, command, { stdin: file });
    if (exitCode !== 0) throw new Error(`${stdout}${stderr}\n${(await host.journal("k8sd")).slice(-4_000)}`);
  };

  test("all join, two control planes and two workers at the same time, with a command each [A2] [A15]", async () => {
    const founder = at(0);
    const [c2, c3] = [await joinToken(founder, "c2"), await joinToken(founder, "c3")];
    const worker = await joinToken(founder, "--worker", "--uses", "2");
    await Promise.all([
      joinsWithFile(at(1), c2, controlPlaneFile, "--name", "c2"),
      joins(at(2), "c3", c3),
      joins(at(3), "w1", worker),
      // Its own host name, and the network that it shall use instead of an address.
      joinsWithFile(at(4), worker, workerFile, "--address", network.ipv4Subnet),
    ]);
    await Promise.all(hosts.slice(0, 3).map((host) => becomesReady(host, "180s")));
    const names = ["n1", "c2", "c3", "w1", "worker-2.cellar.lan"];
    await kubectl(founder, "wait", "node", ...names, "--for=condition=Ready", "--timeout=180s");
    await expectAgreement(hosts);
  });

  test("what their configurations say is so", async () => {
    const [c2, w2] = [at(1), at(4)];
    expect(await c2.readFile("/var/snap/k8s/common/args/kube-apiserver")).toContain('--request-timeout="2m"');
    expect(await c2.readFile("/var/snap/k8s/common/args/conf.d/note.txt")).toBe("of the control plane");
    const { stdout: certificate } = await c2.run(
      "openssl",
      "x509",
      "-noout",
      "-text",
      "-in",
      "/etc/kubernetes/pki/apiserver.crt",
    );
    expect(certificate).toContain("DNS:api.example.lan");
    expect(await fieldOf(c2, "node", "c2", ".status.capacity.pods")).toBe("77");
    expect(await w2.readFile("/var/snap/k8s/common/args/conf.d/note.txt")).toBe("of the worker");
    expect(await fieldOf(c2, "node", "worker-2.cellar.lan", ".metadata.labels.example\\.com/room")).toBe("cellar");
    expect(await fieldOf(c2, "node", "worker-2.cellar.lan", ".status.addresses[?(@.type=='InternalIP')].address")).toBe(
      w2.address,
    );
  });

  test("pods of every node reach those of the others, directly and through a Service", async () => {
    const [founder, third] = [at(0), at(2)];
    await Promise.all([
      startPod(founder, "web", "w1"),
      startPod(third, "on-c3", "c3", "sleep", "3600"),
      startPod(founder, "on-w2", "worker-2.cellar.lan", "sleep", "3600"),
      startPod(founder, "on-n1", "n1", "sleep", "3600"),
    ]);
    await kubectl(third, "expose", "pod", "web", "--port=80");
    const addresses = [
      await fieldOf(founder, "pod", "web", ".status.podIP"),
      await fieldOf(founder, "service", "web", ".spec.clusterIP"),
    ];
    for (const from of ["on-c3", "on-w2", "on-n1"]) {
      for (const address of addresses) await fetches(third, from, address, "web");
    }
  });

  test("workers go on through another control plane when one is cut off, and all agree when it is back", async () => {
    await at(0).partition();
    await startPod(at(1), "meanwhile", "w1", "sleep", "3600");
    await at(0).heal();
    await expectAgreement(hosts);
  });
});
