import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { joins, joinToken, members } from "../join/nodes.ts";
import { createPostgresNodes, type PostgresNodes, password } from "./nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("control planes on a PostgreSQL that somebody else runs", () => {
  let nodes: PostgresNodes;
  let config: string;
  let [n1, n2]: readonly Host[] = [];
  const host = (known: Host | undefined): Host => {
    if (known === undefined) throw new Error("the host was not made");
    return known;
  };
  beforeAll(async () => {
    nodes = await createPostgresNodes(2, ["--agent-only"]);
    [n1, n2] = nodes.hosts;
  });
  afterAll(() => nodes?.[Symbol.asyncDispose]());
  afterEach(({ task }) => {
    if (task.result?.state === "fail") for (const each of nodes.hosts) each.markFailed();
  });

  test("are told before anything is written what the database lacks, without its password", async () => {
    const missing = (await nodes.config()).replace(/test_\w+/, "nothing");
    const result = await k8s(host(n1), ["bootstrap", "--address", host(n1).address, "--file", "-"], { stdin: missing });
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toMatch(/database postgres:.*nothing.*does not exist/);
    expect(result.stderr).not.toContain(password);
  });

  test("keep the cluster's data in it, each through a server of its own", async () => {
    config = await nodes.config();
    await bootstrap(host(n1), config);
    await becomesReady(host(n1));
    const { stdout } = await k8s(host(n1), ["status"]);
    expect(stdout).toMatch(/^datastore: +external$/m);
    await joins(host(n2), "n2", await joinToken(host(n1), "n2"));
    for (const each of [n1, n2]) {
      await becomesReady(host(each));
      expect(await members(host(each))).toEqual({ [host(n1).name]: "active", n2: "active" });
    }
    await host(n2).run("systemctl", "is-active", "k8s-k8s-datastore");
  });

  test("the password is in files of the daemon's state that root alone reads, in no command line and no answer", async () => {
    const state = "/var/snap/k8s/common/var/lib/k8sd/state";
    for (const each of [n1, n2]) {
      const { stdout } = await host(each).run("grep", "-rla", password, "/var/snap", "/etc", "/root");
      const files = stdout.trim().split("\n");
      expect(files).toContain(`${state}/datastore-url`);
      // The journal of node.db holds what an operation is given until it is over.
      expect(files.filter((file) => !file.startsWith(`${state}/`))).toEqual([]);
      const modes = (await host(each).run("stat", "-c", "%a %u", ...files)).stdout.trim().split("\n");
      expect([...new Set(modes)]).toEqual(["600 0"]);
      expect((await host(each).run("ps", "axww", "-o", "args")).stdout).not.toContain(password);
      expect(await host(each).journal("k8s-k8s-datastore")).not.toContain(password);
      for (const command of [["status", "--output-format", "json"], ["datastore", "status"], ["get"]]) {
        expect((await k8s(host(each), command)).stdout).not.toContain(password);
      }
    }
  });

  test("one goes on while the other one's server is gone, and both after PostgreSQL was killed", async () => {
    await host(n1).run("systemctl", "stop", "k8s-k8s-datastore");
    expect(await members(host(n2))).toEqual({ [host(n1).name]: "active", n2: "active" });
    expect(await joinToken(host(n2), "n3")).not.toBe("");
    await host(n1).run("systemctl", "start", "k8s-k8s-datastore");
    await nodes.postgres.crash();
    for (const each of [n1, n2]) await becomesReady(host(each));
    expect(await joinToken(host(n1), "n4")).not.toBe("");
  });

  test("one is removed and knows the database no longer, the other one goes on", async () => {
    const removed = await k8s(host(n1), ["remove-node", "n2"]);
    expect(removed.exitCode, removed.stderr).toBe(0);
    const known = () =>
      host(n2).tryRun(["grep", "-rlas", "postgres://", "/var/snap/k8s/common/args", "/etc/kubernetes"]);
    const url = () => host(n2).tryRun(["test", "-e", "/var/snap/k8s/common/var/lib/k8sd/state/datastore-url"]);
    await expect.poll(async () => (await url()).exitCode, { timeout: 60_000 }).toBe(1);
    expect((await known()).stdout).toBe("");
    await becomesReady(host(n1));
    expect(await members(host(n1))).toEqual({ [host(n1).name]: "active" });
  });

  test("the last one leaves a clean host; what the database holds is its owner's to delete, and is not taken for a new cluster", async () => {
    const left = await k8s(host(n1), ["leave", "--force"]);
    expect(left.exitCode, left.stderr).toBe(0);
    const { stdout } = await host(n1).run("systemctl", "list-units", "--all", "--plain", "--no-legend");
    expect(stdout).not.toMatch(/k8s-k8s-datastore/);
    const again = await k8s(host(n1), ["bootstrap", "--address", host(n1).address, "--file", "-"], { stdin: config });
    expect(again.exitCode).toBe(1);
    expect(again.stderr).toMatch(/is not empty: its schema k8s_datastore holds \d+ keys of a cluster/);
  });
});
