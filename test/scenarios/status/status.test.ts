import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdConfig, joins, joinToken } from "../join/nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

interface Status {
  readonly ready?: true;
  readonly members?: readonly { readonly name: string }[];
  readonly datastore: { readonly type: string };
  readonly nodes: readonly { readonly name: string; readonly role: string; readonly state: string }[];
  readonly "heard-at"?: string;
  readonly conditions: readonly { readonly name: string; readonly ok: boolean; readonly reason: string }[];
}

describe.skipIf(reason !== undefined)("k8s status", () => {
  let network: Network | undefined;
  let hosts: readonly Host[] = [];
  const at = (index: number): Host => {
    const host = hosts[index];
    if (host === undefined) throw new Error("the host was not made");
    return host;
  };

  beforeAll(async () => {
    const staged = await stagedForTests();
    const lan = await createNodeNetwork(staged);
    network = lan;
    hosts = await Promise.all([0, 1, 2].map(() => createNode({ staged, network: lan, flags: ["--agent-only"] })));
    await bootstrap(at(0), etcdConfig);
    await joins(at(1), "n2", await joinToken(at(0), "n2"));
    await joins(at(2), "w1", await joinToken(at(0), "w1", "--worker"));
    for (const host of hosts) await becomesReady(host);
  });
  afterAll(async () => {
    for (const host of hosts) await host[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  async function statusOf(host: Host): Promise<Status> {
    const { stdout, stderr, exitCode } = await k8s(host, ["status", "--output-format", "json"]);
    expect(exitCode, stderr).toBe(0);
    return JSON.parse(stdout) as Status;
  }

  test("says the same of the cluster on every node, workers too", async () => {
    const all = await Promise.all(hosts.map(statusOf));
    for (const status of all) {
      expect(status.ready).toBe(true);
      expect(status.datastore.type).toBe("etcd");
      expect(status.members?.map(({ name }) => name)).toEqual([at(0).name, "n2"].toSorted());
      expect(status.nodes.map(({ name, role, state }) => `${name} ${role} ${state}`)).toEqual(
        [`${at(0).name} control-plane active`, "n2 control-plane active", "w1 worker active"].toSorted(),
      );
    }
    const age = Date.now() - Date.parse(all[2]?.["heard-at"] ?? "");
    expect(age).toBeLessThan(30_000);
  });

  test("a worker refuses it to others, as ever", async () => {
    const state = "/var/snap/k8s/common/var/lib/k8sd/state";
    const { stdout } = await at(0).run(
      ...["curl", "-sk", "--cert", `${state}/server.crt`, "--key", `${state}/server.key`],
      `https://${at(2).address}:6400/1.0/k8sd/cluster`,
    );
    expect(JSON.parse(stdout)).toMatchObject({ error_code: 403, error: "this action is restricted on workers" });
  });

  test("answers without a quorum, at once, with the reason", async () => {
    await at(1).cutPower();
    await expect
      .poll(async () => (await statusOf(at(0))).conditions.find(({ name }) => name === "DatastoreAnswers"), {
        timeout: 30_000,
      })
      .toMatchObject({ ok: false, reason: "NoQuorum" });
    const status = await statusOf(at(0));
    expect(status.ready).toBeUndefined();
    expect(status.nodes).toHaveLength(3);
    const plain = await k8s(at(0), ["status"]);
    expect(plain.stdout).toMatch(/^cluster status: +not ready\n/);
    expect(plain.stdout).toContain("DatastoreAnswers: it has no leader");
  });
});
