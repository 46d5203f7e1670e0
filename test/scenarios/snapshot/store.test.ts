import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { epochOf } from "../recover/three.ts";
import { prefix, put, read } from "./keys.ts";
import { accessKeyId, secretAccessKey } from "./s3-server.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const keyFile = "/root/snapshots.key";
const credentialsFile = "/root/credentials";
const megabyte = 1_000_000;

/** Resident, in bytes. */
async function memoryOf(host: Host): Promise<number> {
  const { stdout } = await host.run("sh", "-c", "grep VmRSS /proc/$(systemctl show -P MainPID k8sd)/status");
  return Number(/\d+/.exec(stdout)?.[0]) * 1024;
}

describe.skipIf(reason !== undefined)("a snapshot in an S3-compatible store", () => {
  let network: Network;
  let n1: Host;
  let n2: Host;
  let store: readonly string[];
  let name: string;

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    const create = (each: string): Promise<Host> =>
      createNode({ name: each, staged, network, flags: ["--agent-only"] });
    [n1, n2] = await Promise.all([create("n1"), create("n2")]);
    await copyFile(join(import.meta.dirname, "s3-server.ts"), join(n1.root, "root/s3-server.ts"));
    n1.spawn(["/snap/k8s/current/bin/node", "/root/s3-server.ts", "9000", "backups", "0.0.0.0"]);
    const url = `http://${n1.address}:9000`;
    await n2.run("curl", "-s", "--retry", "60", "--retry-connrefused", "--retry-delay", "1", url);
    store = ["--url", url, "--bucket", "backups", "--credentials", credentialsFile];
    const credentials = `aws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
    for (const host of [n1, n2]) await host.writeFile(credentialsFile, credentials, 0o600);
    await bootstrap(n1);
    expect((await k8s(n1, ["snapshot", "key", "--out", keyFile])).exitCode).toBe(0);
    expect(await k8s(n1, ["snapshot", "store", ...store])).toMatchObject({ exitCode: 0 });
    await put(n1, "kept", "value");
    // More than goes in one request; nothing of it can be compressed away.
    const pki = "/etc/kubernetes/pki";
    const etcdctl = `/snap/k8s/current/bin/etcdctl --endpoints https://127.0.0.1:2379 --cacert ${pki}/etcd/ca.crt --cert ${pki}/apiserver-etcd-client.crt --key ${pki}/apiserver-etcd-client.key`;
    const fill = `for at in $(seq 24); do head -c ${megabyte} /dev/urandom | ${etcdctl} put ${prefix}big$at || exit 1; done`;
    await n1.run("sh", "-c", fill);
  });
  afterAll(async () => {
    await Promise.all([n1, n2].map((host) => host?.[Symbol.asyncDispose]()));
    await network?.[Symbol.asyncDispose]();
  });

  /** @returns the size of the file. */
  async function save(host: Host): Promise<number> {
    const saved = await k8s(host, ["snapshot", "save", "--store", "--output-format", "json"]);
    expect(saved.exitCode, saved.stderr).toBe(0);
    const { bytes, ...rest } = JSON.parse(saved.stdout) as { name: string; bytes: number };
    name = rest.name;
    return bytes;
  }

  const restore = (host: Host, ...argv: readonly string[]) =>
    k8s(host, ["snapshot", "restore", name, "--key-file", keyFile, "--yes", ...argv]);

  test("is saved in parts, and k8sd is as large afterwards as it was before", async () => {
    const before = await memoryOf(n1);
    const bytes = await save(n1);
    const after = await memoryOf(n1);
    console.info(`k8sd: ${before / megabyte} MB before, ${after / megabyte} MB after a file of ${bytes / megabyte} MB`);
    expect(bytes).toBeGreaterThan(16 * 1024 ** 2);
    expect((after - before) / megabyte).toBeLessThan(60);
  });

  test("is listed and restored on a machine without a cluster, which says what it lacks", async () => {
    await copyFile(join(n1.root, keyFile), join(n2.root, keyFile));
    const unnamed = await k8s(n2, ["snapshot", "list", "--store"]);
    expect([unnamed.exitCode, unnamed.stderr]).toEqual([
      1,
      expect.stringContaining("--url, --bucket and --credentials"),
    ]);
    await n2.writeFile("/root/wrong", "aws_access_key_id=AKIDTEST\naws_secret_access_key=wrong\n", 0o600);
    const denied = await restore(n2, ...store.slice(0, -1), "/root/wrong");
    expect([denied.exitCode, denied.stderr]).toEqual([1, expect.stringContaining("SignatureDoesNotMatch")]);
    const listed = await k8s(n2, ["snapshot", "list", ...store]);
    expect(listed.stdout).toContain(name);

    const restored = await restore(n2, ...store, "--engine", "etcd");
    expect(restored.exitCode, restored.stderr).toBe(0);
    await becomesReady(n2);
    expect([await read(n2, "kept"), (await read(n2, "big24")).length > 100_000]).toEqual(["value", true]);
    const { stdout } = await n2.run("sh", "-c", "ps axww -o args; cat /root/.bash_history 2>/dev/null || true");
    expect(stdout).not.toContain(secretAccessKey);
  });

  test("is restored in place by a cluster that knows its store, and by one whose datastore is broken", async () => {
    const before = Number(await epochOf(n2));
    await save(n2);
    await put(n2, "later", "given up");
    const known = await restore(n2, "--store");
    expect(known.exitCode, known.stderr).toBe(0);
    await becomesReady(n2);
    expect([await read(n2, "kept"), await read(n2, "later")]).toEqual(["value", ""]);
    expect(await epochOf(n2)).toBe(before + 1);

    await n2.run("systemctl", "stop", "k8s-etcd");
    const unknown = await restore(n2, "--store");
    expect([unknown.exitCode, unknown.stderr]).toEqual([
      1,
      expect.stringContaining("--url, --bucket and --credentials"),
    ]);
    const named = await restore(n2, ...store);
    expect(named.exitCode, named.stderr).toBe(0);
    await becomesReady(n2);
    expect(await read(n2, "kept")).toBe("value");
  });
});
