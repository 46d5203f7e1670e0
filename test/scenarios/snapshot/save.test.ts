import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bootstrap, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { put } from "./keys.ts";
import { accessKeyId, secretAccessKey } from "./s3-server.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const folder = "/var/snap/k8s/common/snapshots";

describe.skipIf(reason !== undefined)("snapshots of a cluster", () => {
  let network: Network;
  let n1: Host;

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    n1 = await createNode({ name: "n1", staged, network, flags: ["--agent-only"] });
    await bootstrap(n1);
  });
  afterAll(async () => {
    await n1?.[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  const listed = async (...argv: string[]): Promise<readonly { name: string; content?: { keys: number } }[]> => {
    const { stdout } = await k8s(n1, ["snapshot", "list", "--output-format", "json", ...argv]);
    return (JSON.parse(stdout) as { snapshots: { name: string; content?: { keys: number } }[] }).snapshots;
  };

  test("need a key, which is told once and kept from the cluster", async () => {
    const without = await k8s(n1, ["snapshot", "save"]);
    expect([without.exitCode, without.stderr]).toEqual([1, expect.stringContaining("k8s snapshot key --out FILE")]);
    const made = await k8s(n1, ["snapshot", "key", "--out", "/root/snapshots.key"]);
    expect(made.exitCode, made.stderr).toBe(0);
    const again = await k8s(n1, ["snapshot", "key", "--out", "/root/other.key"]);
    expect([again.exitCode, again.stderr]).toEqual([1, expect.stringContaining("the cluster has one")]);
  });

  test("are saved, tried and listed, for their owner alone; the oldest go when that is wanted", async () => {
    await put(n1, "kept", "value");
    for (let round = 0; round < 3; round++) {
      const saved = await k8s(n1, ["snapshot", "save", "--keep", "2"]);
      expect([saved.exitCode, saved.stdout]).toEqual([
        0,
        expect.stringContaining("a trial restore gave back the same"),
      ]);
    }
    const all = await listed();
    expect(all.length).toBe(2);
    expect(all[0]?.content?.keys).toBeGreaterThan(5);
    const { stdout: modes } = await n1.run("sh", "-c", `stat -c '%a %U' ${folder} ${folder}/*`);
    expect(modes.trim().split("\n")).toEqual(["700 root", "600 root", "600 root"]);
    const { stdout: hidden } = await n1.run("ls", "-A", folder);
    expect(hidden).not.toMatch(/^\./m);
    const { stdout: state } = await n1.run("ls", "-A", "/var/snap/k8s/common/var/lib/k8sd/state");
    expect(state).not.toContain("trial");
  });

  test("that were damaged are listed with the reason", async () => {
    const [{ name } = { name: "" }] = await listed();
    await n1.run("sh", "-c", `mkdir /root/s && head -c 60 ${folder}/${name} >/root/s/${name}`);
    const { stdout } = await k8s(n1, ["snapshot", "list", "--directory", "/root/s"]);
    expect(stdout).toContain(`${name}   cannot open the snapshot: the file ends too early`);
  });

  test("are saved by themselves, and no more when that is switched off", async () => {
    const ordered = await k8s(n1, [
      "snapshot",
      "schedule",
      "--every",
      "6h",
      "--keep",
      "5",
      "--directory",
      "/root/auto",
    ]);
    expect([ordered.exitCode, ordered.stdout]).toEqual([
      0,
      expect.stringContaining("every 6h0m0s to /root/auto on n1"),
    ]);
    await expect.poll(() => listed("--directory", "/root/auto"), { timeout: 60_000, interval: 1_000 }).toHaveLength(1);
    const shown = async (): Promise<string> => (await k8s(n1, ["snapshot", "schedule"])).stdout;
    await expect.poll(shown, { timeout: 10_000 }).toMatch(/The last one is of .*: \/root\/auto\//);
    await k8s(n1, ["snapshot", "schedule", "--off"]);
    expect(await shown()).toContain("The cluster saves no snapshots by itself.");
  });

  test("go to an S3-compatible store, of which every request is signed", async () => {
    await copyFile(join(import.meta.dirname, "s3-server.ts"), join(n1.root, "root/s3-server.ts"));
    n1.spawn(["/snap/k8s/current/bin/node", "/root/s3-server.ts", "9000", "backups"]);
    await expect
      .poll(async () => (await n1.tryRun(["curl", "-s", "http://127.0.0.1:9000/"])).stdout, { timeout: 20_000 })
      .toContain("AccessDenied");
    const name = ["--url", "http://127.0.0.1:9000", "--bucket", "backups", "--prefix", "ours", "--credentials", "-"];
    const wrong = `aws_access_key_id=${accessKeyId}\naws_secret_access_key=wrong\n`;
    const refused = await k8s(n1, ["snapshot", "store", ...name], { stdin: wrong });
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining("SignatureDoesNotMatch")]);
    const without = await k8s(n1, ["snapshot", "save", "--store"]);
    expect([without.exitCode, without.stderr]).toEqual([1, expect.stringContaining("the cluster knows none")]);

    const right = `aws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
    const set = await k8s(n1, ["snapshot", "store", ...name], { stdin: right });
    expect(set.exitCode, set.stderr).toBe(0);
    for (let round = 0; round < 3; round++) {
      const saved = await k8s(n1, ["snapshot", "save", "--store", "--keep", "2"]);
      expect([saved.exitCode, saved.stdout], saved.stderr).toEqual([
        0,
        expect.stringContaining("Saved s3://backups/ours/"),
      ]);
    }
    const all = await listed("--store");
    expect(all.length).toBe(2);
    expect(all[0]?.content?.keys).toBeGreaterThan(5);
    // What was made on the way is gone.
    const { stdout } = await n1.run("ls", "-A", folder);
    expect(stdout).not.toMatch(/^\./m);
  });
});
