import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap, k8s, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { contentHash, fill, isOn, migrate, migrates, write } from "./engines.ts";
import { isAt, startTheirEtcd, type TheirEtcd } from "./their-etcd.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const proxy = "http://127.0.0.1:8001/api/v1/namespaces/default/configmaps";

/** One object after the other; what was acknowledged is on the host's disk. */
const loadScript = `
i=0; rm -f /var/tmp/load-stop; : > /var/tmp/created
while ! test -e /var/tmp/load-stop; do
  i=$((i+1))
  curl -s -m 20 -H 'content-type: application/json' -d '{"metadata":{"name":"load-'$1-$i'"}}' ${proxy} > /var/tmp/answer
  if grep -q '"kind": "ConfigMap"' /var/tmp/answer; then
    echo $i $(sed -n 's/.*"resourceVersion": "\\([0-9]*\\)".*/\\1/p' /var/tmp/answer) >> /var/tmp/created
  else
    sleep 0.1
  fi
done
`;

describe.skipIf(reason !== undefined)("a cluster without Kubernetes that moves to an etcd of somebody else", () => {
  let host: Host;
  let etcd: TheirEtcd;
  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests(), flags: ["--agent-only"] });
    etcd = await startTheirEtcd(host);
    await bootstrap(host);
    await fill(host, 10_000);
  });
  afterAll(() => host?.[Symbol.asyncDispose]());
  afterEach(({ task }) => {
    if (task.result?.state === "fail") host.markFailed();
  });

  async function isRefused(given: string, why: RegExp): Promise<void> {
    const { exitCode, stderr } = await migrate(host, "external", given);
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(why)]);
    await isOn(host, "sqlite");
  }

  test("is told why one cannot be taken, and stays where it is", async () => {
    await isRefused(etcd.config({ "datastore-servers": ["https://127.0.0.1:12399"] }), /12399 cannot be used/);
    await isRefused(etcd.config({ "datastore-ca-crt": undefined }), /cannot be used: .*certificate/);
    await isRefused(etcd.config({ "datastore-client-key": undefined }), /both are needed/);
    await isRefused("datastore-servers: []\n", /external needs to know where it is/);
    await etcd.etcdctl("put", "/registry/other", "x");
    await isRefused(etcd.config(), /is not empty: it holds 1 key below \/registry\//);
    expect(await etcd.etcdctl("get", "/registry/other", "--print-value-only")).toBe("x\n");
    await etcd.etcdctl("del", "/registry/other");
  });

  test("is told which permission the certificate lacks", async () => {
    await etcd.etcdctl("user", "add", "root", "--no-password");
    await etcd.etcdctl("user", "grant-role", "root", "root");
    await etcd.etcdctl("user", "add", "client", "--no-password");
    await etcd.etcdctl("role", "add", "k8s");
    await etcd.etcdctl("user", "grant-role", "client", "k8s");
    await etcd.etcdctl("auth", "enable");
    await isRefused(etcd.config(), /does not let us read and write our keys/);
    for (const prefix of ["/registry/", "compact_rev_key", "k8sd/"]) {
      await etcd.etcdctl("role", "grant-permission", "k8s", "--prefix=true", "readwrite", prefix);
    }
    await isRefused(etcd.config(), /does not let us compact/);
    expect(await etcd.ours()).toBe(0);
  });

  test("to it keeps every acknowledged write, and works with less permission afterwards", async () => {
    await etcd.etcdctl("user", "grant-role", "client", "root");
    const content = await contentHash(host);
    const writing = await write(host);
    const { pauseMs } = await migrates(host, "external", etcd.config());
    console.info(`sqlite to an external etcd: writes paused for ${pauseMs} ms, 10,000 keys`);
    await etcd.etcdctl("user", "revoke-role", "client", "root");
    expect(await writing.ends(etcd.etcdctl)).toBeGreaterThan(10);
    await isAt(host, "theirs", etcd);
    expect(await etcd.contentHash()).toBe(content);
    await etcd.theirsIsUntouched();
    const key = (await host.readFile("/theirs/client.key")).split("\n")[1] ?? "";
    expect((await k8s(host, ["datastore", "status"])).stdout).not.toContain(key);
  });

  test.each(["sqlite", "etcd"] as const)("from it to %s reads this cluster's keys alone", async (to) => {
    const content = await etcd.contentHash();
    const { pauseMs } = await migrates(host, to);
    console.info(`an external etcd to ${to}: writes paused for ${pauseMs} ms, 10,000 keys`);
    await isOn(host, to);
    expect(await contentHash(host)).toBe(content);
    await etcd.theirsIsUntouched();
    // What a cluster left is its owner's to delete.
    expect(await etcd.ours()).toBeGreaterThan(10_000);
    const again = await migrate(host, "external", etcd.config());
    expect(again).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("is not empty") });
    await etcd.anew();
    await migrates(host, "external", etcd.config());
    await isAt(host, "theirs", etcd);
    expect(await etcd.contentHash()).toBe(content);
  });

  test("one whose revision is out of reach is refused with what makes another", async () => {
    await migrates(host, "etcd");
    await etcd.anew({ low: true });
    const { exitCode, stderr } = await migrate(host, "external", etcd.config());
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringMatching(/revision is \d+ below the source's[\s\S]*--bump-revision/),
    ]);
    await isOn(host, "etcd");
  });
});

describe.skipIf(reason !== undefined)("Kubernetes of a cluster that moves to an etcd of somebody else and back", () => {
  let host: Host;
  let etcd: TheirEtcd;
  let round = 0;
  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests() });
    etcd = await startTheirEtcd(host);
    await bootstrap(host, "cluster-config:\n  network:\n    enabled: true\n");
    await becomesReady(host, "120s");
    await host.writeFile("/var/tmp/load.sh", loadScript);
    host.spawn(["k8s", "kubectl", "proxy", "--port=8001"]);
  });
  afterAll(() => host?.[Symbol.asyncDispose]());
  afterEach(({ task }) => {
    if (task.result?.state === "fail") host.markFailed();
  });

  const created = async () =>
    (await host.readFile("/var/tmp/created"))
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split(" ").map(Number) as [number, number]);

  /** While objects are created, the data moves: none is lost, and resource versions only rise. */
  async function movesUnderLoad(to: "external" | "sqlite" | "etcd", given?: string): Promise<void> {
    round += 1;
    await host.run("sh", "-c", `setsid sh /var/tmp/load.sh ${round} > /dev/null 2>&1 < /dev/null &`);
    await expect.poll(async () => (await created()).length, { timeout: 60_000 }).toBeGreaterThan(5);
    const { pauseMs } = await migrates(host, to, given);
    console.info(`Kubernetes to ${to}: writes paused for ${pauseMs} ms`);
    const during = (await created()).length;
    await expect.poll(async () => (await created()).length, { timeout: 60_000 }).toBeGreaterThan(during + 10);
    await host.run("touch", "/var/tmp/load-stop");
    const runs = async () => (await host.tryRun(["pgrep", "-f", "/var/tmp/load.sh"])).exitCode;
    await expect.poll(runs, { timeout: 60_000 }).toBe(1);
    const all = await created();
    const versions = all.map(([, version]) => version);
    expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    const names = new Set((await kubectl(host, "get", "configmaps", "-o", "name")).split("\n"));
    expect(all.map(([i]) => `configmap/load-${round}-${i}`).filter((name) => !names.has(name))).toEqual([]);
    await becomesReady(host, "120s");
  }

  test("to one with a low revision, which is raised first", async () => {
    await etcd.anew({ low: true });
    await movesUnderLoad("external", etcd.config());
    await isAt(host, "theirs", etcd);
  });

  test.each(["sqlite", "etcd"] as const)("back to %s, whose own certificates are made", async (to) => {
    await movesUnderLoad(to);
    await isOn(host, to);
    await etcd.theirsIsUntouched();
    await etcd.anew();
    await movesUnderLoad("external", etcd.config());
    await isAt(host, "theirs", etcd);
  });
});
