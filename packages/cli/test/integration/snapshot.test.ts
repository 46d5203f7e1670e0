import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Snapshot } from "@k8sd/api-types";
import { describe, expect, test } from "vitest";
import { createFakeDaemon, type Routes, sendError, sendSync } from "../support/fake-daemon.ts";
import { type CliResult, startCli } from "../support/run-cli.ts";
import { localNode } from "../support/statuses.ts";

const aNode: Routes = { "GET /1.0/k8sd/node": (_request, answer) => sendSync(answer, localNode) };

function run(stateDir: string, ...args: string[]): Promise<CliResult> {
  return startCli({ args: ["snapshot", ...args, "--state-dir", stateDir] }).result;
}

const saved: Snapshot = {
  name: "20231114T221320Z-abcdefgh.k8s-snapshot",
  path: "/s/20231114T221320Z-abcdefgh.k8s-snapshot",
  bytes: 186_531,
  content: {
    created: "2023-11-14T22:13:20.000Z",
    cluster: "c1",
    epoch: 2,
    node: "n1",
    engine: "etcd",
    revision: 4711,
    keys: 812,
    versions: { k8sd: "0.1.0" },
    key: "0123456789abcdef",
  },
};
const broken: Snapshot = { name: "b.k8s-snapshot", path: "/s/b.k8s-snapshot", bytes: 3, problem: "it is damaged" };

describe.concurrent("k8s snapshot key", () => {
  const making: Routes = {
    ...aNode,
    "POST /1.0/k8sd/snapshots/key": (_request, answer) => sendSync(answer, { key: "the-key", id: "0123" }),
  };

  test("writes the key to a file that only its owner reads", async () => {
    await using daemon = await createFakeDaemon(making);
    const out = join(daemon.directory, "key");
    const { code, stdout } = await run(daemon.stateDir, "key", "--out", out);
    expect([code, stdout]).toEqual([0, expect.stringContaining(`The key 0123 is in ${out}.`)]);
    expect(await readFile(out, "utf8")).toMatch(/^# .*0123.*\nthe-key\n$/);
    expect((await stat(out)).mode & 0o777).toBe(0o600);
    expect(daemon.received.at(-1)?.body).toEqual({ replace: false });
  });

  test("asks for no key that it could not keep, and leaves no file without a key", async () => {
    await using daemon = await createFakeDaemon(making);
    const there = join(daemon.directory, "there");
    await writeFile(there, "mine");
    const refused = await run(daemon.stateDir, "key", "--out", there);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining(`Could not write the key to ${there}`)]);
    expect(daemon.received.map(({ method }) => method)).not.toContain("POST");
    expect(await readFile(there, "utf8")).toBe("mine");
    expect((await run(daemon.stateDir, "key")).stderr).toContain("--out must name the file");

    await using failing = await createFakeDaemon({
      ...aNode,
      "POST /1.0/k8sd/snapshots/key": (_request, answer) => sendError(answer, 500, "the cluster has one"),
    });
    const out = join(failing.directory, "key");
    expect((await run(failing.stateDir, "key", "--out", out)).stderr).toContain("the cluster has one");
    await expect(stat(out)).rejects.toThrow("ENOENT");
  });
});

describe.concurrent("k8s snapshot save and list", () => {
  test("save says what was saved", async () => {
    await using daemon = await createFakeDaemon({
      ...aNode,
      "POST /1.0/k8sd/snapshots": (_request, answer) => sendSync(answer, saved),
    });
    const { code, stdout } = await run(daemon.stateDir, "save", "--directory", "/s", "--keep", "3");
    expect([code, stdout]).toEqual([
      0,
      `Saved ${saved.path}: 812 keys of revision 4711, 182.2 KiB; a trial restore gave back the same.\nIt opens with the key 0123456789abcdef.\n`,
    ]);
    expect(daemon.received.at(-1)?.body).toEqual({ directory: "/s", keep: 3, timeout: 900_000_000_000 });
  });

  test("list shows what is there, also what cannot be read", async () => {
    await using daemon = await createFakeDaemon({
      ...aNode,
      "GET /1.0/k8sd/snapshots": (_request, answer) =>
        sendSync(answer, { directory: "/s", snapshots: [saved, broken] }),
    });
    const { stdout } = await run(daemon.stateDir, "list");
    expect(stdout).toBe(
      [
        "NAME                                     CREATED                NODE   EPOCH   ENGINE   REVISION   KEYS   SIZE        KEY",
        "20231114T221320Z-abcdefgh.k8s-snapshot   2023-11-14T22:13:20Z   n1     2       etcd     4711       812    182.2 KiB   0123456789abcdef",
        "b.k8s-snapshot                           it is damaged",
        "",
      ].join("\n"),
    );
    const json = await run(daemon.stateDir, "list", "--output-format", "json");
    expect(JSON.parse(json.stdout)).toEqual({ directory: "/s", snapshots: [saved, broken] });
    const yaml = await run(daemon.stateDir, "list", "--output-format", "yaml");
    expect(yaml.stdout).toContain("  problem: it is damaged\n");
  });
});
