import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EtcdClientOptions, openChannel } from "../../../src/datastore/channel.ts";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import type { Datastore } from "../../../src/datastore/datastore.ts";
import { LeaseRevokeRequest, LeaseRevokeResponse } from "../../../src/datastore/gen/etcd.ts";
import { makeTestPki, type TestPki } from "./support/certificates.ts";
import { startEngine, temporaryFolder } from "./support/engine-process.ts";
import { always } from "./support/writes.ts";

const cleanup = new AsyncDisposableStack();
let folder: string;
let pki: TestPki;

beforeAll(async () => {
  folder = cleanup.use(await temporaryFolder()).path;
  pki = makeTestPki(join(folder, "pki"), ["apiserver"]);
});
afterAll(() => cleanup.disposeAsync());

async function startLimited(): Promise<string> {
  const { ca, cert, key } = pki.files;
  const tls = ["--cert-file", cert, "--key-file", key, "--trusted-ca-file", ca, "--client-cert-auth"];
  const engine = await startEngine([
    ...["--data-dir", join(folder, "embedded"), ...tls, "--listen-client-urls", "https://127.0.0.1:0"],
    "--client-keys=apiserver=/registry/,compact_rev_key",
  ]);
  cleanup.use(engine);
  return engine.endpoint;
}

function optionsOf(endpoint: string, name: string): EtcdClientOptions {
  const pem = (ending: string) => readFileSync(join(folder, "pki", `${name}.${ending}`));
  return { endpoints: [endpoint], tls: { ca: readFileSync(pki.files.ca), cert: pem("crt"), key: pem("key") } };
}

const clientOf = (endpoint: string, name: string): Datastore => createEtcdClient(optionsOf(endpoint, name));

const put = (key: string) => always({ op: "put", key, value: "v" });
const denied = { kind: "forbidden", message: expect.stringContaining("etcdserver: permission denied") };

describe("the embedded engine, to a client that is limited to its keys", () => {
  let admin: Datastore;
  let apiserver: Datastore;
  let revoke: (id: bigint) => Promise<unknown>;

  beforeAll(async () => {
    const endpoint = await startLimited();
    admin = cleanup.use(clientOf(endpoint, "client"));
    apiserver = cleanup.use(clientOf(endpoint, "apiserver"));
    await admin.txn(put("/k8sd/secret"));
    const channel = openChannel(optionsOf(endpoint, "apiserver"));
    cleanup.defer(() => channel.close());
    const path = "/etcdserverpb.Lease/LeaseRevoke";
    revoke = (id) => channel.unary("write to", path, LeaseRevokeRequest, LeaseRevokeResponse, { id });
  });

  test("gives all it needs", async () => {
    const { revision } = await apiserver.txn(put("/registry/pods/a"));
    await apiserver.txn(put("compact_rev_key"));
    expect((await apiserver.range({ prefix: "/registry/" })).kvs).toHaveLength(1);
    expect((await apiserver.range({ from: "/registry/pods/a\0", end: "/registry/pods0" })).kvs).toHaveLength(0);
    await apiserver.compact(revision);
    expect((await apiserver.status()).revision).toBeGreaterThan(revision);
    for await (const batch of apiserver.watch(
      { prefix: "/registry/" },
      { from: revision, signal: new AbortController().signal },
    )) {
      expect(batch).toMatchObject({ kind: "events", events: [{ type: "put" }] });
      break;
    }
    const ending = new AbortController();
    const lease = await apiserver.lease(60, ending.signal);
    await apiserver.txn(always({ op: "put", key: "/registry/events/e", value: "v", lease: lease.id }));
    await lease[Symbol.asyncDispose]();
    expect((await apiserver.range({ key: "/registry/events/e" })).kvs).toHaveLength(0);
  });

  test.each([
    ["one key", { key: "/k8sd/secret" }],
    ["a prefix", { prefix: "/k8sd/" }],
    ["everything", { prefix: "" }],
    ["what begins before its own", { from: "/k8sd/", end: "/registry/z" }],
    ["what ends after its own", { from: "/registry/", end: "/registry1" }],
    ["a neighbour of its own", { key: "/registry" }],
  ])("refuses to read %s", async (_what, range) => {
    await expect(apiserver.range(range)).rejects.toMatchObject(denied);
    await expect(apiserver.txn(always({ op: "range", range }))).rejects.toMatchObject(denied);
  });

  test("refuses to write others, also where its own are in the same transaction", async () => {
    await expect(apiserver.txn(put("/k8sd/secret"))).rejects.toMatchObject(denied);
    const both = {
      ...always({ op: "put", key: "/registry/b", value: "v" }, { op: "delete", range: { prefix: "/k8sd/" } }),
    };
    await expect(apiserver.txn(both)).rejects.toMatchObject(denied);
    const nested = always({ op: "txn", txn: put("/k8sd/secret") });
    await expect(apiserver.txn(nested)).rejects.toMatchObject(denied);
    expect((await admin.range({ key: "/registry/b" })).kvs).toHaveLength(0);
    expect((await admin.range({ key: "/k8sd/secret" })).kvs[0]).toMatchObject({ version: 1 });
  });

  test("tells nothing by a comparison", async () => {
    const guess = {
      compare: [{ key: "/k8sd/secret", target: "value", is: "=", to: "v" } as const],
      success: [],
      failure: [],
    };
    await expect(apiserver.txn(guess)).rejects.toMatchObject(denied);
  });

  test("refuses to watch others", async () => {
    const watching = apiserver.watch({ prefix: "/k8sd/" }, { from: 0, signal: AbortSignal.timeout(5_000) });
    await expect(watching[Symbol.asyncIterator]().next()).rejects.toMatchObject(denied);
  });

  test("keeps others' keys when it ends a lease of theirs", async () => {
    const lease = await admin.lease(60, new AbortController().signal);
    await admin.txn(always({ op: "put", key: "/k8sd/leased", value: "v", lease: lease.id }));
    await expect(revoke(lease.id)).rejects.toMatchObject(denied);
    expect((await admin.range({ key: "/k8sd/leased" })).kvs).toHaveLength(1);
  });
});
