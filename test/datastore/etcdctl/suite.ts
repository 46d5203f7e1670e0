import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EngineArgs, noArgs } from "../differential/pair.ts";
import { type Server, startEngine, temporaryFolder } from "../support/servers.ts";

const run = promisify(execFile);
/** The check of performance loads the store for a minute. */
const full = process.env.K8SD_DATASTORE === "full";

/** @param program finds the etcdctl. @param engineArgs what has the engine keep its data elsewhere. */
export function etcdctlTests(what: string, program: () => Promise<string>, engineArgs: EngineArgs = noArgs): void {
  describe(what, () => {
    const cleanup = new AsyncDisposableStack();
    let etcdctl: string;
    let engine: Server;
    let folder: string;
    beforeAll(async () => {
      etcdctl = await program();
      folder = cleanup.use(await temporaryFolder()).path;
      const args = ["--name", "node-1", ...(await engineArgs(folder))];
      engine = cleanup.use(await startEngine({ dataDir: join(folder, "data"), args }));
      console.log(`${what}: ${(await ctl(["version"])).split("\n")[0]}`);
    });
    afterAll(() => cleanup.disposeAsync());

    async function ctl(args: readonly string[], input?: string): Promise<string> {
      const child = run(etcdctl, ["--endpoints", engine.endpoint, ...args], { timeout: 120_000 });
      child.child.stdin?.end(input);
      const { stdout, stderr } = await child;
      return stdout + stderr;
    }

    test("put, get, del and txn", async () => {
      expect(await ctl(["put", "a", "1"])).toBe("OK\n");
      expect(await ctl(["put", "a", "2", "--prev-kv"])).toBe("OK\na\n1\n");
      expect(await ctl(["get", "", "--prefix"])).toBe("a\n2\n");
      expect(await ctl(["txn"], 'version("a") = "2"\n\nput b 3\n\nput c 4\n\n')).toContain("SUCCESS");
      expect(await ctl(["get", "", "--prefix", "--keys-only", "--order", "DESCEND"])).toBe("b\n\na\n\n");
      expect(await ctl(["get", "", "--prefix", "--count-only", "-w", "fields"])).toContain('"Count" : 2');
      expect(await ctl(["del", "b", "--prev-kv"])).toBe("1\nb\n3\n");
    });

    test("watch, from now on and from an old revision", async () => {
      const child = spawn(etcdctl, ["--endpoints", engine.endpoint, "watch", "w", "--rev", "1", "--prev-kv"]);
      try {
        let output = "";
        child.stdout.on("data", (chunk) => {
          output += chunk;
        });
        await ctl(["put", "w", "1"]);
        await ctl(["put", "w", "2"]);
        await ctl(["del", "w"]);
        await expect.poll(() => output, { timeout: 10_000 }).toBe("PUT\nw\n1\nPUT\nw\n1\nw\n2\nDELETE\nw\n2\nw\n\n");
      } finally {
        const exited = once(child, "exit");
        child.kill("SIGKILL");
        await exited;
      }
    });

    test("lease grant, list, timetolive, keep-alive and revoke", async () => {
      const lease = /lease (\w+) granted/.exec(await ctl(["lease", "grant", "600"]))?.[1] ?? "";
      expect(await ctl(["put", "leased", "x", "--lease", lease])).toBe("OK\n");
      expect(await ctl(["lease", "timetolive", lease, "--keys"])).toContain("attached keys([leased])");
      expect(await ctl(["lease", "list"])).toContain(lease);
      expect(await ctl(["lease", "keep-alive", "--once", lease])).toContain("keepalived with TTL(600)");
      expect(await ctl(["lease", "revoke", lease])).toContain("revoked");
      expect(await ctl(["get", "leased"])).toBe("");
    });

    test("compaction, defrag, snapshot save and hashkv", async () => {
      expect(await ctl(["compaction", "3", "--physical"])).toBe("compacted revision 3\n");
      await expect(ctl(["get", "a", "--rev", "2"])).rejects.toThrow("required revision has been compacted");
      await expect(ctl(["get", "a", "--rev", "9999"])).rejects.toThrow("required revision is a future revision");
      expect(await ctl(["defrag"])).toContain("Finished defragmenting");
      const file = join(folder, "snapshot.db");
      expect(await ctl(["snapshot", "save", file])).toContain("Snapshot saved");
      // The pages of the file, and a SHA-256 of them.
      expect((await stat(file)).size % 512).toBe(32);
      expect(await ctl(["endpoint", "hashkv"])).toMatch(/, \d+/);
    });

    test("endpoint health and status, member list, alarm list and disarm", async () => {
      expect(await ctl(["endpoint", "health"])).toContain("is healthy");
      const [status] = JSON.parse(await ctl(["endpoint", "status", "-w", "json"]));
      expect(status.Status).toMatchObject({ version: expect.stringMatching(/^3\.6\./), leader: expect.any(Number) });
      expect(await ctl(["member", "list"])).toContain("started, node-1, , http://127.0.0.1");
      expect(await ctl(["alarm", "list"])).toBe("");
      expect(await ctl(["alarm", "disarm"])).toBe("");
    });

    test.runIf(full)("check perf says that the store is fit for a small cluster", { timeout: 150_000 }, async () => {
      // What it lacks stands in the output also when it fails.
      const answer = await ctl(["check", "perf", "--load", "s"]).catch((error: { stdout: string }) => error.stdout);
      expect(answer).toContain("PASS: Throughput");
      expect(answer.split("\n"), answer).toContain("PASS");
    });
  });
}
