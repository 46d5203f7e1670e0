import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { externalProblems } from "../../../src/datastore/check-external.ts";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import { makeTestPki, type TestPki } from "./support/certificates.ts";
import { type EngineProcess, startEngine, temporaryFolder } from "./support/engine-process.ts";
import { always } from "./support/writes.ts";

const cleanup = new AsyncDisposableStack();
let folder: string;
let pki: TestPki;
let servers: EngineProcess[];

beforeAll(async () => {
  folder = cleanup.use(await temporaryFolder()).path;
  pki = makeTestPki(join(folder, "pki"), ["limited"]);
  const { ca, cert, key } = pki.files;
  servers = await Promise.all(
    ["a", "b"].map((name) =>
      startEngine([
        ...["--data-dir", join(folder, name), "--cert-file", cert, "--key-file", key, "--trusted-ca-file", ca],
        ...["--client-cert-auth", "--listen-client-urls", "https://127.0.0.1:0", "--client-keys=limited=/other/"],
      ]),
    ),
  );
  for (const server of servers) cleanup.use(server);
});
afterAll(() => cleanup.disposeAsync());

const check = (endpoints: readonly string[], tls: object = pki.client) =>
  externalProblems({ endpoints, tls }, AbortSignal.timeout(20_000));
const only = (index: number) => [servers[index]?.endpoint ?? ""];

describe("a datastore that somebody else runs", () => {
  test("is taken when it is empty and lets us write; nothing is left in it", async () => {
    expect(await check(only(0))).toEqual([]);
    await using store = createEtcdClient({ endpoints: only(0), tls: pki.client });
    expect((await store.range({ prefix: "" })).count).toBe(0);
  });

  test("that nobody runs is named, with every other server that does not answer", async () => {
    const problems = await check(["https://127.0.0.1:1", ...only(0), "https://127.0.0.1:2"]);
    expect(problems.map(({ message }) => message)).toEqual([
      expect.stringMatching(/server https:\/\/127\.0\.0\.1:1 cannot be used: .*ECONNREFUSED/),
      expect.stringMatching(/server https:\/\/127\.0\.0\.1:2 cannot be used: .*ECONNREFUSED/),
    ]);
  });

  test.each([
    [
      "an authority that did not sign it",
      () => ({ ...pki.client, ca: readFileSync(makeTestPki(join(folder, "other")).files.ca) }),
    ],
    ["no client certificate", () => ({ ca: pki.client.ca })],
  ])("is refused with %s, and the fields are named", async (_what, tls) => {
    const [problem] = await check(only(0), tls());
    expect(problem?.message).toContain("cannot be used");
    expect(problem?.remedy).toContain("datastore-ca-crt");
  });

  test("that does not let us have our keys is refused with the grants that are missing", async () => {
    const pem = (ending: string) => readFileSync(join(folder, "pki", `limited.${ending}`));
    const [problem] = await check(only(0), { ca: pki.client.ca, cert: pem("crt"), key: pem("key") });
    expect(problem?.message).toContain("permission denied");
    expect(problem?.remedy).toContain("etcdctl role grant-permission ROLE --prefix=true readwrite /registry/");
  });

  test("of two clusters is refused", async () => {
    const [problem] = await check([...only(0), ...only(1)]);
    expect(problem?.message).toContain("belong to different datastores");
  });

  test.each(["k8sd/cluster", "/registry/pods/default/a"])("that holds %s already is left alone", async (key) => {
    await using store = createEtcdClient({ endpoints: only(1), tls: pki.client });
    await store.txn(always({ op: "put", key, value: "v" }));
    const [problem] = await check(only(1));
    expect(problem?.message).toContain("is not empty: it holds 1 key below");
    await store.txn(always({ op: "delete", range: { key } }));
  });
});
