import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { makeTestPki, type TestPki } from "../../../packages/k8sd/test/integration/datastore/support/certificates.ts";
import { becomesReady, bootstrap, k8s, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { expectClean, failedBootstrap } from "../failed-bootstrap/attempt.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const url = "https://127.0.0.1:12379";
const etcdctl = ["/snap/k8s/current/bin/etcdctl", "--endpoints", url, "--cacert", "/theirs/ca.crt"];
const asTheirs = [...etcdctl, "--cert", "/theirs/client.crt", "--key", "/theirs/client.key"];

/** An etcd of somebody else, with certificates of their own, on the host. */
async function startTheirEtcd(host: Host, { files, clientFiles }: TestPki): Promise<void> {
  const names = { "ca.crt": files.ca, "server.crt": files.cert, "server.key": files.key };
  const all = { ...names, "client.crt": clientFiles.cert, "client.key": clientFiles.key };
  for (const [name, path] of Object.entries(all)) await host.writeFile(`/theirs/${name}`, await readFile(path, "utf8"));
  const program = "/snap/k8s/current/bin/etcd --data-dir /theirs/data --log-level error";
  const tls = "--cert-file /theirs/server.crt --key-file /theirs/server.key --trusted-ca-file /theirs/ca.crt";
  const urls = `--listen-client-urls ${url} --advertise-client-urls ${url}`;
  const peers = "--listen-peer-urls http://127.0.0.1:12380 --initial-advertise-peer-urls http://127.0.0.1:12380";
  const start = `${program} ${tls} --client-cert-auth ${urls} ${peers} --initial-cluster default=http://127.0.0.1:12380`;
  await host.run("systemd-run", "--unit=their-etcd", "--property=Type=notify", ...start.split(" "));
}

describe.skipIf(reason !== undefined)("a node on an etcd that somebody else runs", () => {
  let host: Host;
  let before: HostSnapshot;
  let config: (more?: object) => string;
  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests() });
    const folder = await mkdtemp(join(tmpdir(), "k8sd-external-"));
    const pki = makeTestPki(folder);
    await startTheirEtcd(host, pki);
    const given = {
      "cluster-config": { network: { enabled: true } },
      "datastore-type": "external",
      "datastore-servers": [url],
      "datastore-ca-crt": await readFile(pki.files.ca, "utf8"),
      "datastore-client-crt": await readFile(pki.clientFiles.cert, "utf8"),
      "datastore-client-key": await readFile(pki.clientFiles.key, "utf8"),
    };
    config = (more = {}) => stringify({ ...given, ...more });
    await rm(folder, { recursive: true });
    before = await host.snapshot();
  });
  afterAll(() => host?.[Symbol.asyncDispose]());
  afterEach(({ task }) => {
    if (task.result?.state === "fail") host.markFailed();
  });
  const keys = async () =>
    Number(
      (await host.run(...asTheirs, "get", "", "--prefix", "--count-only", "--write-out=fields")).stdout.match(
        /"Count" : (\d+)/,
      )?.[1],
    );

  test("is told before anything is written that nobody answers", async () => {
    const { stderr } = await failedBootstrap(host, config({ "datastore-servers": [url, "https://127.0.0.1:12399"] }));
    expect(stderr).toMatch(/server https:\/\/127\.0\.0\.1:12399 cannot be used: .*ECONNREFUSED/);
    await expectClean(host, before);
  });

  test("leaves nothing in it when the bootstrap is taken back", async () => {
    await failedBootstrap(host, config({ "extra-node-kubelet-args": { "--no-such-flag": "x" } }));
    expect(await keys()).toBe(0);
    await expectClean(host, before);
  });

  test("runs Kubernetes on it, and says so", async () => {
    await bootstrap(host, config());
    await becomesReady(host);
    const { stdout } = await k8s(host, ["status"]);
    expect(stdout).toMatch(/^datastore: +external$/m);
    await kubectl(host, "create", "configmap", "kept");
    expect((await host.run(...asTheirs, "get", "/registry/configmaps/default/kept", "--keys-only")).stdout).toContain(
      "kept",
    );
    const units = await host.run("systemctl", "list-units", "--state=active", "--plain", "--no-legend");
    expect(units.stdout).not.toMatch(/k8s[.-](etcd|k8s-datastore)/);
  });

  test("comes back after etcd was away", async () => {
    await host.run("systemctl", "kill", "-s", "STOP", "their-etcd");
    const began = Date.now();
    await k8s(host, ["status"]);
    expect(Date.now() - began).toBeLessThan(10_000);
    await host.run("systemctl", "kill", "-s", "CONT", "their-etcd");
    await becomesReady(host);
  });
});
