import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RestorePlan, Snapshot } from "@k8sd/api-types";
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
    expect(daemon.received.at(-1)?.body).toEqual({ directory: "/s", store: false, keep: 3, timeout: 900_000_000_000 });
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

const storeAt = async (daemon: { readonly directory: string }): Promise<readonly string[]> => {
  const file = join(daemon.directory, "credentials");
  await writeFile(file, "aws_access_key_id = AK\naws_secret_access_key=s/e+c\n");
  return ["--url", "https://s3.example", "--bucket", "b1", "--credentials", file];
};
const at = {
  url: "https://s3.example",
  bucket: "b1",
  prefix: "",
  region: "us-east-1",
  "access-key-id": "AK",
  "secret-access-key": "s/e+c",
  ca: "",
};
const fresh: Routes = {
  "GET /1.0/k8sd/node": (_request, answer) => sendError(answer, 503, "The node is not part of a cluster."),
};

describe.concurrent("a store, on a machine that belongs to no cluster,", () => {
  test("is listed", async () => {
    await using daemon = await createFakeDaemon({
      ...fresh,
      "GET /1.0/k8sd/snapshots": (_request, answer) => sendSync(answer, { directory: "the store", snapshots: [saved] }),
    });
    const { code, stdout } = await run(daemon.stateDir, "list", ...(await storeAt(daemon)));
    expect([code, stdout]).toEqual([0, expect.stringContaining(saved.name)]);
    expect(daemon.received.at(-1)?.body).toEqual({ directory: "", store: false, at });
  });

  test("gives a snapshot", async () => {
    await using daemon = await createFakeDaemon({
      ...fresh,
      "POST /1.0/k8sd/snapshots/fetch": (_request, answer) => sendSync(answer, saved),
    });
    const flags = ["--directory", "/s", ...(await storeAt(daemon))];
    const { code, stdout } = await run(daemon.stateDir, "fetch", saved.name, ...flags);
    expect([code, stdout]).toEqual([
      0,
      `Fetched ${saved.path}, 182.2 KiB; its checksum is right.\nRestore it with 'k8s snapshot restore ${saved.path} --key-file FILE'; it opens with the key 0123456789abcdef.\n`,
    ]);
    const body = { name: saved.name, directory: "/s", at, timeout: 3_600_000_000_000 };
    expect(daemon.received.at(-1)?.body).toEqual(body);
  });
});

describe.concurrent("k8s snapshot restore", () => {
  const plan: RestorePlan = {
    mode: "in-place",
    node: "n1",
    engine: "etcd",
    epoch: 3,
    created: "2023-11-14T22:13:20.000Z",
    cluster: "c1",
    from: { node: "n2", engine: "sqlite", revision: 4711, epoch: 2 },
    keys: 812,
    kept: ["w1"],
    removed: ["n2", "n3"],
    backup: "/var/lib/etcd/before-epoch-3-of-n1",
  };
  const done = { node: "n1", epoch: 3, backup: plan.backup };
  const restoring = (seen: RestorePlan): Routes => ({
    ...aNode,
    "POST /1.0/k8sd/snapshots/restore/plan": (_request, answer) => sendSync(answer, seen),
    "POST /1.0/k8sd/snapshots/restore": (_request, answer) => sendSync(answer, done),
  });
  const withKey = async (daemon: { readonly directory: string }): Promise<readonly string[]> => {
    const path = join(daemon.directory, "key");
    await writeFile(path, "the-key\n");
    return ["restore", "/s/a", "--key-file", path];
  };

  test("shows what it would do, and does nothing when nobody can be asked", async () => {
    await using daemon = await createFakeDaemon(restoring(plan));
    const { code, stderr } = await run(daemon.stateDir, ...(await withKey(daemon)));
    expect(code).toBe(1);
    for (const text of [
      "812 keys of revision 4711, from sqlite on n2, epoch 2 of cluster c1",
      "n1 becomes the only control plane of the cluster; epoch 3 begins.",
      "n2, n3: taken out of the cluster",
      "w1: stays as worker.",
      "The data that is now on this node is kept in /var/lib/etcd/before-epoch-3-of-n1.",
      "Add --yes to do what is shown above.",
    ]) {
      expect(stderr).toContain(text);
    }
    expect(daemon.received.map(({ path }) => path)).not.toContain("/1.0/k8sd/snapshots/restore");
  });

  test("does it with --yes", async () => {
    await using daemon = await createFakeDaemon(restoring(plan));
    const { code, stdout } = await run(daemon.stateDir, ...(await withKey(daemon)), "--yes");
    expect([code, stdout]).toEqual([
      0,
      "Restored the cluster on n1; it is in epoch 3 now.\nThe old data of this node is in /var/lib/etcd/before-epoch-3-of-n1.\n" +
        "Join n2, n3 again with 'k8s get-join-token' and 'k8s join-cluster'.\n",
    ]);
    const body = { path: "/s/a", key: "the-key\n", engine: "", address: "", name: "", force: false };
    expect(daemon.received.at(-1)?.body).toEqual({ ...body, timeout: 900_000_000_000 });
  });

  test("of a snapshot in a store fetches it first", async () => {
    await using daemon = await createFakeDaemon({
      ...restoring(plan),
      "POST /1.0/k8sd/snapshots/fetch": (_request, answer) => sendSync(answer, saved),
    });
    const [, , ...key] = await withKey(daemon);
    expect((await run(daemon.stateDir, "restore", saved.name, ...key, "--store", "--yes")).code).toBe(0);
    const bodies = daemon.received.filter(({ method }) => method === "POST").map(({ body }) => body);
    expect(bodies).toEqual([
      { name: saved.name, directory: "", timeout: 900_000_000_000 },
      expect.objectContaining({ path: saved.path }),
      expect.objectContaining({ path: saved.path }),
    ]);
  });

  test("says why it should not be done, and does it by force", async () => {
    const refusal = { message: "cannot restore the snapshot: n2 answers", remedy: "Stop it.", forceable: true };
    await using daemon = await createFakeDaemon(restoring({ ...plan, refusal }));
    const flags = [...(await withKey(daemon)), "--yes"];
    const refused = await run(daemon.stateDir, ...flags);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("n2 answers. Stop it.")]);
    expect((await run(daemon.stateDir, ...flags, "--force")).code).toBe(0);
  });

  test.each([
    [["restore", "/s/a"], "--key-file must name the file"],
    [["restore", "/s/a", "--key-file", "/no/such/key"], "Could not read the key from /no/such/key"],
    [["restore", "/s/a", "--key-file", "-", "--engine", "mysql"], "--engine must be sqlite or etcd"],
    [["restore", "/s/a", "--key-file", "-", "--engine", "external"], "k8s datastore migrate --to external"],
    [["restore", "a", "--key-file", "-", "--credentials", "-"], "only one of --key-file and --credentials"],
    [["restore", "a", "--key-file", "/dev/null", "--url", "https://s3"], "needs --url, --bucket and --credentials"],
    [["restore", "/s/a", "--key-file", "-", "--name", "n9"], "for a machine without a cluster"],
  ])("%j is refused", async (args, text) => {
    await using daemon = await createFakeDaemon(restoring(plan));
    const { code, stderr } = await run(daemon.stateDir, ...args);
    expect([code, stderr]).toEqual([1, expect.stringContaining(text)]);
  });
});
