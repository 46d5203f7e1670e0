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

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const config = "cluster-config:\n  network:\n    enabled: true\n";
const proxy = "http://127.0.0.1:8001/api/v1/namespaces/default/configmaps";

/** One object after the other; number, resource version and time of each that was acknowledged are on the host's disk. */
const loadScript = `
i=0; rm -f /var/tmp/load-stop; : > /var/tmp/created
while ! test -e /var/tmp/load-stop; do
  i=$((i+1))
  curl -s -m 20 -H 'content-type: application/json' -d '{"metadata":{"name":"load-'$1-$i'"}}' ${proxy} > /var/tmp/answer
  if grep -q '"kind": "ConfigMap"' /var/tmp/answer; then
    echo $i $(sed -n 's/.*"resourceVersion": "\\([0-9]*\\)".*/\\1/p' /var/tmp/answer) $(date +%s%3N) >> /var/tmp/created
  fi
done
`;

describe.skipIf(reason !== undefined)("Kubernetes of a cluster whose datastore moves", () => {
  let network: Network;
  let founder: Host;
  let second: Host;
  let round = 0;

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
    await founder.writeFile("/var/tmp/load.sh", loadScript);
    founder.spawn(["k8s", "kubectl", "proxy", "--port=8001"]);
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

  /** While objects are created, something is done: none is lost, resource versions only rise, pods and kube-apiserver stay. */
  async function underLoad(work: () => Promise<unknown>): Promise<void> {
    round += 1;
    const before = { pods: await pods(), apiServer: await apiServer() };
    expect(before.pods).not.toBe("");
    const script = `setsid sh /var/tmp/load.sh ${round} > /dev/null 2>&1 < /dev/null &`;
    await founder.run("sh", "-c", script);
    const created = async () =>
      (await founder.readFile("/var/tmp/created"))
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.split(" ").map(Number) as [number, number, number]);
    await expect.poll(async () => (await created()).length, { timeout: 20_000 }).toBeGreaterThan(5);
    await work();
    const during = (await created()).length;
    await expect.poll(async () => (await created()).length, { timeout: 60_000 }).toBeGreaterThan(during + 10);
    await founder.run("touch", "/var/tmp/load-stop");
    await expect.poll(async () => (await founder.tryRun(["pgrep", "-f", "/var/tmp/load.sh"])).exitCode).toBe(1);

    const all = await created();
    const versions = all.map(([, version]) => version);
    expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    expect(new Set(versions).size).toBe(versions.length);
    const names = new Set((await kubectl(founder, "get", "configmaps", "-o", "name")).split("\n"));
    expect(all.map(([i]) => `configmap/load-${round}-${i}`).filter((name) => !names.has(name))).toEqual([]);
    const gaps = all.map(([, , at], index) => at - (all[index - 1]?.[2] ?? at));
    console.info(`${all.length} objects created, the longest wait between two was ${Math.max(...gaps)} ms`);
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
