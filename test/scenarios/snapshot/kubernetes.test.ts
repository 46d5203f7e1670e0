import { copyFile } from "node:fs/promises";
import { join as joinPath } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap, k8s, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { webImage } from "../../kubernetes/images/names.ts";
import { createNode, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { joins, joinToken } from "../join/nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const config = "cluster-config:\n  network:\n    enabled: true\n";
const keyFile = "/root/snapshots.key";

describe.skipIf(reason !== undefined)("Kubernetes of a cluster that is restored from a snapshot", () => {
  let network: Network;
  let n1: Host;
  let worker: Host;
  let spare: Host;
  let saved: string;

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    const create = (name: string): Promise<Host> => createNode({ name, staged, network });
    [n1, worker, spare] = await Promise.all([create("n1"), create("w1"), create("spare")]);
    await bootstrap(n1, config);
    await becomesReady(n1, "120s");
    await joins(worker, "w1", await joinToken(n1, "w1", "--worker"));
    await kubectl(n1, "create", "deployment", "web", `--image=${webImage}`, "--replicas=4", "--port=80");
    await kubectl(n1, "rollout", "status", "deployment/web", "--timeout=120s");
    await kubectl(n1, "create", "configmap", "kept", "--from-literal=a=b");
    expect((await k8s(n1, ["snapshot", "key", "--out", keyFile])).exitCode).toBe(0);
    const { stdout, stderr } = await k8s(n1, ["snapshot", "save", "--output-format", "json"]);
    expect(stderr).not.toContain("Error");
    saved = (JSON.parse(stdout) as { path: string }).path;
  });
  afterAll(async () => {
    await Promise.all([n1, worker, spare].map((host) => host?.[Symbol.asyncDispose]()));
    await network?.[Symbol.asyncDispose]();
  });

  const configMaps = async (host: Host): Promise<readonly string[]> =>
    (await kubectl(host, "get", "configmaps", "-o", "name")).trim().split("\n").sort();
  const restarts = (host: Host): Promise<string> =>
    kubectl(
      host,
      ...["get", "pods", "-l", "app=web", "-o"],
      "jsonpath={range .items[*]}{.metadata.uid} {.status.startTime} {.status.containerStatuses[0].restartCount}{'\\n'}{end}",
    );
  const restored = async (host: Host, path: string, ...argv: readonly string[]): Promise<void> => {
    const result = await k8s(host, ["snapshot", "restore", path, "--key-file", keyFile, "--yes", ...argv]);
    if (result.exitCode !== 0) throw new Error(`${result.stderr}\n${(await host.journal("k8sd")).slice(-3_000)}`);
    await becomesReady(host, "120s");
  };
  /** Controllers, scheduler, kubelets and the network of both nodes see what is new. */
  const worksOnBoth = async (host: Host, name: string): Promise<void> => {
    await kubectl(host, "create", "deployment", name, `--image=${webImage}`, "--replicas=6", "--port=80");
    await kubectl(host, "rollout", "status", `deployment/${name}`, "--timeout=180s");
    const nodes = await kubectl(host, "get", "pods", "-l", `app=${name}`, "-o", "jsonpath={.items[*].spec.nodeName}");
    expect(new Set(nodes.split(" "))).toEqual(new Set(["n1", "w1"]));
  };

  test("on its own node: what came later is gone, pods go on, and clients read anew", async () => {
    await kubectl(n1, "create", "configmap", "later", "--from-literal=a=b");
    await kubectl(n1, "delete", "configmap", "kept");
    const version = await kubectl(n1, "get", "configmap", "later", "-o", "jsonpath={.metadata.resourceVersion}");
    const before = await restarts(n1);
    await restored(n1, saved);
    const names = await configMaps(n1);
    expect(names).toContain("configmap/kept");
    expect(names).not.toContain("configmap/later");
    const path = `/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=5&resourceVersion=${version}`;
    const { stdout, stderr } = await k8s(n1, ["kubectl", "get", "--raw", path]);
    expect(`${stdout}${stderr}`).toMatch(/"code":410|too old resource version|Gone|Expired/);
    await worksOnBoth(n1, "again");
    expect(await restarts(n1)).toBe(before);
  });

  test("on a fresh machine in its place: the worker comes over when it is told the address", async () => {
    await copyFile(joinPath(n1.root, saved), joinPath(spare.root, "root/snapshot"));
    await copyFile(joinPath(n1.root, keyFile), joinPath(spare.root, keyFile));
    await n1.cutPower();
    await restored(spare, "/root/snapshot", "--name", "n1", "--engine", "etcd");
    expect(await configMaps(spare)).toContain("configmap/kept");
    const told = await k8s(worker, ["set-address", "--peer", `n1=${spare.address}`]);
    expect(told.exitCode, told.stderr).toBe(0);
    await worksOnBoth(spare, "elsewhere");
    const nodes = await kubectl(spare, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}");
    expect(nodes.split(" ").sort()).toEqual(["n1", "w1"]);
  });
});
