import { X509Certificate } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { sealDatabaseUrl } from "../../../src/cluster/migrate/access.ts";
import { withEngine, withEtcdOf } from "../../../src/cluster/migrate/engines.ts";
import {
  dropEtcdAccess,
  keepEtcdAccess,
  makeEngineCertificates,
  takeBackAuthority,
} from "../../../src/cluster/migrate/etcd-access.ts";
import { completeNodePki } from "../../../src/cluster/node-pki.ts";
import { createSeal } from "../../../src/cluster/seal.ts";
import { pkiFiles } from "../../../src/components/certificates.ts";
import { createPaths } from "../../../src/host/paths.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const now = new Date("2026-11-21T12:00:00Z");
const seal = createSeal(Buffer.alloc(32, 7));
const start = aBootstrapInput({ kubernetes: false });
const access = {
  "datastore-ca-crt": "their authority",
  "datastore-client-crt": "crt",
  "datastore-client-key": "hidden-word",
};

/** A node on an etcd of somebody else, as a bootstrap leaves it. */
async function aNode() {
  const root = await mkdtemp(join(tmpdir(), "k8sd-etcd-access-"));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  const paths = createPaths({ root, snap: join(root, "snap"), snapCommon: join(root, "common") });
  for (const path of [paths.clusterSecrets, paths.datastoreClientCert, pkiFiles(paths).etcdCa.crt]) {
    await mkdir(dirname(path), { recursive: true });
  }
  const external = withEtcdOf({ servers: ["https://192.0.2.1:2379"], access: {} }, start);
  const input = { ...external, view: { ...external.view, paths } };
  const pki = completeNodePki(input, {}, now);
  const own = { certificate: pki.pairs.server?.certificate ?? "", key: pki.pairs.server?.key ?? "" };
  await writeFile(paths.clusterSecrets, seal.seal(JSON.stringify(pki.cluster), "cluster-secrets"));
  const deps = { paths, seal: async () => seal, nodeKey: { certificate: () => own }, now: () => now.getTime() };
  const secrets = async () =>
    JSON.parse(seal.open(await readFile(paths.clusterSecrets, "utf8"), "cluster-secrets")) as Record<string, string>;
  await keepEtcdAccess(JSON.stringify(access), deps);
  return { paths, files: pkiFiles(paths), input, deps, secrets };
}

const authority = (path: string) => readFile(path, "utf8");

test("what opens their etcd lies where a bootstrap puts it, and is sealed for control planes that join", async () => {
  const { files, secrets } = await aNode();
  expect(await authority(files.etcdCa.crt)).toBe("their authority");
  expect(await readFile(files.etcdClient.key, "utf8")).toBe("hidden-word");
  expect((await stat(files.etcdClient.key)).mode & 0o777).toBe(0o600);
  expect(await secrets()).toMatchObject(access);
});

test("a cluster that never had an engine of its own gets an authority, the same however often it is tried", async () => {
  const { files, paths, input, deps, secrets } = await aNode();
  const after = withEngine(input, "etcd");
  await makeEngineCertificates(after, deps);
  const { "etcd-ca-crt": ours = "", "etcd-ca-key": key } = await secrets();
  expect(key).toBeDefined();
  expect(await authority(files.etcdCa.crt)).toBe(`their authority\n${ours}`);
  await takeBackAuthority(deps);
  expect(await authority(files.etcdCa.crt)).toBe("their authority");

  await makeEngineCertificates(after, deps);
  await dropEtcdAccess(deps);
  await dropEtcdAccess(deps);
  expect(await authority(files.etcdCa.crt)).toBe(ours);
  const ca = new X509Certificate(ours);
  for (const path of [
    files.etcdServer.crt,
    files.etcdPeer.crt,
    files.apiserverEtcdClient.crt,
    paths.datastoreClientCert,
  ]) {
    expect([path, new X509Certificate(await readFile(path)).verify(ca.publicKey)]).toEqual([path, true]);
  }
  await expect(stat(files.etcdClient.key)).rejects.toThrow("ENOENT");
  expect(Object.keys(await secrets()).filter((name) => name.startsWith("datastore-"))).toEqual([]);
});

test("straight from a database, and on to another one, the secrets have what opens the one that is in use", async () => {
  const { paths, input, deps, secrets } = await aNode();
  const external = async () =>
    Object.fromEntries(Object.entries(await secrets()).filter(([name]) => name.startsWith("datastore-")));
  await sealDatabaseUrl(paths, "postgres://first", seal);
  await keepEtcdAccess(JSON.stringify(access), deps);
  expect(await external()).toEqual(access);
  await makeEngineCertificates(withEngine(input, "postgres", "postgres://second"), deps);
  expect(await external()).toEqual(access);
  for (const _again of [1, 2]) {
    await dropEtcdAccess(deps);
    await sealDatabaseUrl(paths, "postgres://second", seal);
  }
  expect(await external()).toEqual({ "datastore-url": "postgres://second" });
});
