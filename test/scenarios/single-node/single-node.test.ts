import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { becomesReady, bootstrap, k8s, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { webImage } from "../../kubernetes/images/names.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const namespace = "shop";
const deployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace },
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [{ name: "web", image: webImage, imagePullPolicy: "IfNotPresent", ports: [{ containerPort: 80 }] }],
      },
    },
  },
};
const service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace },
  spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
};

describe.skipIf(reason !== undefined)("a node bootstrapped with one command", () => {
  let host: Host;
  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests() });
    await bootstrap(host);
    await becomesReady(host);
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  const rollout = () => kubectl(host, "-n", namespace, "rollout", "status", "deployment/web", "--timeout=120s");
  const fetchPage = async (): Promise<string> => {
    const address = await kubectl(host, "-n", namespace, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}");
    return (
      await host.run(
        "curl",
        "-sS",
        "--max-time",
        "5",
        "--retry",
        "5",
        "--retry-all-errors",
        `http://${address}/cgi-bin/hostname`,
      )
    ).stdout.trim();
  };

  test("tells its status in the contract's lines", async () => {
    const { stdout } = await k8s(host, ["status"]);
    expect(stdout.split("\n").slice(0, 5)).toEqual([
      "cluster status:           ready",
      `control plane nodes:      ${host.address}:6400 (voter)`,
      "high availability:        no",
      "datastore:                sqlite",
      "network:                  enabled",
    ]);
    const { stdout: json } = await k8s(host, ["status", "--output-format", "json"]);
    const status = JSON.parse(json) as { conditions: { name: string; ok: boolean }[] };
    expect(status.conditions.map(({ name, ok }) => [name, ok])).toEqual([
      ["ServicesRunning", true],
      ["DatastoreAnswers", true],
      ["APIServerReady", true],
      ["NodeReady", true],
    ]);
  });

  test("knows itself", async () => {
    const { stdout } = await k8s(host, ["local-node-status", "--output-format", "json"]);
    expect(JSON.parse(stdout)).toEqual({
      name: host.name,
      address: `${host.address}:6400`,
      "cluster-role": "control-plane",
      "datastore-role": "voter",
    });
  });

  test("carries the role labels and the pod range that it was given", async () => {
    const node = JSON.parse(await kubectl(host, "get", "node", host.name, "-o", "json")) as {
      metadata: { labels: Record<string, string> };
      spec: { podCIDR?: string };
    };
    expect(node.metadata.labels).toMatchObject({
      "node-role.kubernetes.io/control-plane": "",
      "node-role.kubernetes.io/worker": "",
      "k8sd.io/role": "control-plane",
    });
    expect(node.spec.podCIDR).toBe("10.1.0.0/24");
  });

  test("gives a kubeconfig for the server that is asked for", async () => {
    const { stdout } = await k8s(host, ["config", "--server", "192.0.2.7:6443"]);
    expect(stdout).toContain("server: https://192.0.2.7:6443");
    const { stdout: own } = await k8s(host, ["config"]);
    await host.writeFile("/root/own.conf", own, 0o600);
    const nodes = await host.run("k8s", "kubectl", "--kubeconfig", "/root/own.conf", "get", "nodes", "-o", "name");
    expect(nodes.stdout.trim()).toBe(`node/${host.name}`);
  });

  test("runs a Deployment behind a Service", async () => {
    await host.writeFile("/root/web.yaml", [deployment, service].map((object) => stringify(object)).join("---\n"));
    await kubectl(host, "create", "namespace", namespace);
    await kubectl(host, "apply", "-f", "/root/web.yaml");
    await rollout();
    expect(await fetchPage()).toMatch(/^web-/);
  });

  test("scales it", async () => {
    await kubectl(host, "-n", namespace, "scale", "deployment/web", "--replicas=5");
    await rollout();
    const names = await kubectl(host, "-n", namespace, "get", "pods", "-o", "name");
    expect(names.trim().split("\n")).toHaveLength(5);
  });

  test("rolls out a change and takes it back", async () => {
    await kubectl(host, "-n", namespace, "set", "env", "deployment/web", "COLOUR=blue");
    await rollout();
    expect(await kubectl(host, "-n", namespace, "exec", "deployment/web", "--", "sh", "-c", "echo $COLOUR")).toBe(
      "blue\n",
    );
    await kubectl(host, "-n", namespace, "rollout", "undo", "deployment/web");
    await rollout();
    expect(await kubectl(host, "-n", namespace, "exec", "deployment/web", "--", "sh", "-c", "echo $COLOUR")).toBe("\n");
  });

  test("shows logs and runs commands in pods, and pods reach each other and the Service", async () => {
    await kubectl(
      host,
      "-n",
      namespace,
      "run",
      "talker",
      `--image=${webImage}`,
      "--image-pull-policy=IfNotPresent",
      "--command",
      "--",
      "sh",
      "-c",
      "trap exit TERM; echo said; while :; do sleep 1; done",
    );
    await kubectl(host, "-n", namespace, "wait", "--for=condition=Ready", "pod/talker", "--timeout=60s");
    expect(await kubectl(host, "-n", namespace, "logs", "talker")).toBe("said\n");
    const address = await kubectl(host, "-n", namespace, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}");
    const pod = await kubectl(
      host,
      "-n",
      namespace,
      "get",
      "pods",
      "-l",
      "app=web",
      "-o",
      "jsonpath={.items[0].status.podIP}",
    );
    for (const target of [address, pod]) {
      // The image's busybox has no wget that works, its nc is enough for a page.
      const request = `printf 'GET /cgi-bin/hostname HTTP/1.0\\r\\n\\r\\n' | nc -w 5 ${target} 80`;
      const answer = await kubectl(host, "-n", namespace, "exec", "talker", "--", "sh", "-c", request);
      expect(answer).toMatch(/200 OK.*web-/s);
    }
  });

  test("deletes a namespace with all that is in it", async () => {
    await kubectl(host, "delete", "namespace", namespace, "--wait=true", "--timeout=120s");
    const left = await host.tryRun(["k8s", "kubectl", "get", "namespace", namespace]);
    expect(left.stderr).toContain("NotFound");
    expect(await kubectl(host, "get", "pods", "-A", "-o", "name")).toBe("");
  });

  test("refuses a second bootstrap", async () => {
    const again = await k8s(host, ["bootstrap"]);
    expect(again.exitCode).toBe(1);
    expect(again.stderr).toContain("The node is already part of a cluster");
  });

  test("comes back after k8sd, and after its datastore, were killed", async () => {
    const killed = async (unit: string) => {
      const { stdout } = await host.run("systemctl", "show", "--property=MainPID", "--value", unit);
      await host.run("kill", "-9", stdout.trim());
    };
    await killed("k8sd");
    await killed("k8s-k8s-datastore");
    await becomesReady(host);
    expect(await kubectl(host, "get", "--raw", "/readyz")).toBe("ok");
  });
});
