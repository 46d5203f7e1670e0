import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { externalProblems } from "../../../src/datastore/check-external.ts";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import { etcdProgram, freePorts } from "./etcd-members-cluster.ts";
import { makeTestPki, type TestPki } from "./support/certificates.ts";
import { temporaryFolder } from "./support/engine-process.ts";
import { always } from "./support/writes.ts";

const howTo = join(import.meta.dirname, "../../../../../docs/how-to/use-your-own-etcd.md");
const grants = readFileSync(howTo, "utf8")
  .split("\n")
  .filter((line) => line.startsWith("etcdctl "));
const run = promisify(execFile);

describe.skipIf(etcdProgram === undefined)("an etcd of somebody else with the grant of the how-to", () => {
  const cleanup = new AsyncDisposableStack();
  let folder: string;
  let pki: TestPki;
  let endpoint: string;

  const etcdctl = (line: string) => {
    const [cert, key] = ["crt", "key"].map((ending) => join(folder, "pki", `client.${ending}`));
    const argv = line.replace(/#.*/, "").trim().split(/\s+/).slice(1);
    const way = ["--endpoints", endpoint, "--cacert", pki.files.ca, "--cert", cert ?? "", "--key", key ?? ""];
    return run(join(dirname(etcdProgram ?? ""), "etcdctl"), [...way, ...argv], { timeout: 30_000 });
  };

  function tlsOf(name: string) {
    const pem = (ending: string) => readFileSync(join(folder, "pki", `${name}.${ending}`));
    return { ca: pki.client.ca, cert: pem("crt"), key: pem("key") };
  }

  beforeAll(async () => {
    folder = cleanup.use(await temporaryFolder()).path;
    pki = makeTestPki(join(folder, "pki"), ["kubernetes"]);
    const [client, peer] = (await freePorts(2)).map((port) => `://127.0.0.1:${port}`);
    endpoint = `https${client}`;
    const { ca, cert, key } = pki.files;
    const child = spawn(
      etcdProgram ?? "",
      [
        ...["--data-dir", join(folder, "etcd"), "--log-level", "fatal", "--unsafe-no-fsync"],
        ...["--enable-grpc-gateway=false", "--client-cert-auth", "--trusted-ca-file", ca],
        ...["--cert-file", cert, "--key-file", key],
        ...["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint],
        ...["--listen-peer-urls", `http${peer}`, "--initial-advertise-peer-urls", `http${peer}`],
        ...["--initial-cluster", `default=http${peer}`],
      ],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    cleanup.defer(async () => {
      const exited = once(child, "exit");
      if (child.kill("SIGKILL")) await exited;
    });
    await vi.waitFor(() => etcdctl("etcdctl get up"), { timeout: 60_000, interval: 200 });
    for (const line of grants) await etcdctl(line);
    for (const line of ["user add --no-password root", "role add root", "user grant-role root root", "auth enable"]) {
      await etcdctl(`etcdctl ${line}`);
    }
  }, 90_000);
  afterAll(() => cleanup.disposeAsync());

  test("is taken, and lets us have our keys and no others", async () => {
    expect(grants).toHaveLength(6);
    const tls = tlsOf("kubernetes");
    expect(await externalProblems({ endpoints: [endpoint], tls }, AbortSignal.timeout(30_000))).toEqual([]);
    await using store = createEtcdClient({ endpoints: [endpoint], tls });
    for (const key of ["/registry/pods/a", "k8sd/cluster", "compact_rev_key"]) {
      await store.txn(always({ op: "put", key, value: "v" }));
      expect((await store.range({ key })).kvs).toHaveLength(1);
    }
    const denied = { kind: "forbidden", message: expect.stringContaining("permission denied") };
    await expect(store.txn(always({ op: "put", key: "/other", value: "v" }))).rejects.toMatchObject(denied);
    await expect(store.range({ prefix: "" })).rejects.toMatchObject(denied);
    // As the how-to says: etcd has to do it itself.
    await expect(store.compact(2)).rejects.toMatchObject(denied);
  });
});
