import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { makeTestPki } from "./support/certificates.ts";
import { startEngine, temporaryFolder } from "./support/engine-process.ts";
import { findProgram } from "./support/etcd-process.ts";

const etcdctl = findProgram("etcdctl");
if (!etcdctl) process.stderr.write("skipped: no etcdctl in K8SD_TEST_ETCD or PATH\n");
const run = promisify(execFile);

describe.skipIf(!etcdctl)("etcdctl over TLS with a client certificate", () => {
  test("put, get, txn, del, lease, compact, defrag, snapshot, status, member list", async () => {
    await using folder = await temporaryFolder();
    const pki = makeTestPki(join(folder.path, "pki"));
    const { ca, cert, key } = pki.files;
    const tls = ["--cert-file", cert, "--key-file", key, "--trusted-ca-file", ca, "--client-cert-auth"];
    const where = ["--data-dir", join(folder.path, "data"), "--listen-client-urls", "https://127.0.0.1:0"];
    await using engine = await startEngine([...tls, ...where, "--name", "node-1"]);
    const client = ["--cert", pki.clientFiles.cert, "--key", pki.clientFiles.key, "--cacert", ca];
    const ctl = async (args: string[], input?: string) => {
      const child = run(etcdctl ?? "", ["--endpoints", engine.endpoint, "--command-timeout=5s", ...client, ...args]);
      child.child.stdin?.end(input);
      return (await child).stdout;
    };

    expect(await ctl(["put", "a", "1"])).toBe("OK\n");
    expect(await ctl(["put", "a", "2", "--prev-kv"])).toBe("OK\na\n1\n");
    expect(await ctl(["get", "", "--prefix"])).toBe("a\n2\n");
    expect(await ctl(["txn"], 'version("a") = "2"\n\nput b 3\n\nput c 4\n\n')).toContain("SUCCESS");
    expect(await ctl(["get", "", "--prefix", "--keys-only"])).toBe("a\n\nb\n\n");
    const lease = /lease (\w+) granted/.exec(await ctl(["lease", "grant", "600"]))?.[1] ?? "";
    expect(await ctl(["put", "leased", "x", "--lease", lease])).toBe("OK\n");
    expect(await ctl(["lease", "timetolive", lease, "--keys"])).toContain("attached keys([leased])");
    expect(await ctl(["lease", "list"])).toContain(lease);
    expect(await ctl(["lease", "keep-alive", "--once", lease])).toContain("keepalived with TTL(600)");
    expect(await ctl(["lease", "revoke", lease])).toContain("revoked");
    expect(await ctl(["get", "leased"])).toBe("");
    expect(await ctl(["del", "", "--prefix"])).toBe("2\n");
    expect(await ctl(["compact", "4", "--physical"])).toBe("compacted revision 4\n");
    await expect(ctl(["get", "a", "--rev", "3"])).rejects.toThrow(
      "etcdserver: mvcc: required revision has been compacted",
    );
    await expect(ctl(["get", "a", "--rev", "99"])).rejects.toThrow("required revision is a future revision");
    expect(await ctl(["defrag"])).toContain("Finished defragmenting");
    const file = join(folder.path, "snapshot.db");
    expect(await ctl(["snapshot", "save", file])).toContain("Snapshot saved");
    expect((await stat(file)).size % 512).toBe(32);
    expect(await ctl(["member", "list"])).toContain("started, node-1, , https://127.0.0.1");
    expect(await ctl(["endpoint", "status"])).toContain("3.6.");
    expect(await ctl(["endpoint", "hashkv"])).toMatch(/, \d+/);
    expect(await ctl(["alarm", "list"])).toBe("");
  });
});
