import { pkiFiles } from "../../components/certificates.ts";
import type { NodeView } from "../../components/component.ts";
import type { EtcdClientOptions } from "../../datastore/channel.ts";
import type { Paths } from "../../host/paths.ts";
import { removeFile, writeFileAtomic } from "../../lib/write-file.ts";
import { authorityTable } from "../../pki/authority-table.ts";
import { certificateTable } from "../../pki/certificate-table.ts";
import type { EtcdAccess, SuppliedPki } from "../../pki/supplied.ts";
import { certificateFile } from "../address/certificates.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { changeClusterSecrets, readClusterSecrets } from "../cluster-secrets.ts";
import { tlsOf } from "../connections.ts";
import type { NodeKey } from "../node-key.ts";
import { completeNodePki } from "../node-pki.ts";
import type { Seal } from "../seal.ts";

export interface AccessDeps {
  readonly paths: Paths;
  readonly seal: () => Promise<Seal>;
  readonly nodeKey: Pick<NodeKey, "certificate">;
  readonly now: () => number;
}

/** How an etcd is reached whose certificates are not in their place yet. */
export function etcdOptions({ datastore }: NodeView, secret: string | undefined): EtcdClientOptions {
  return { endpoints: datastore.endpoints, tls: tlsOf(accessOf(secret)) };
}

const accessOf = (secret: string | undefined): EtcdAccess => JSON.parse(secret ?? "{}") as EtcdAccess;

/** What opens the new etcd is kept as it is after a bootstrap on it. */
export async function keepEtcdAccess(secret: string | undefined, { paths, seal }: AccessDeps): Promise<void> {
  const access = accessOf(secret);
  await changeClusterSecrets(paths, await seal(), (known) => ({ ...withoutEtcd(known), ...access }));
  const files = pkiFiles(paths);
  const wanted = [
    [files.etcdCa.crt, access["datastore-ca-crt"]],
    [files.etcdClient.crt, access["datastore-client-crt"]],
    [files.etcdClient.key, access["datastore-client-key"]],
  ] as const;
  for (const [path, content] of wanted) if (content) await writeFileAtomic({ path, content, mode: 0o600 });
}

/** Only ours are let in, and what opened their etcd is gone from this node. */
export async function dropEtcdAccess({ paths, seal }: AccessDeps): Promise<void> {
  const sealed = await seal();
  await changeClusterSecrets(paths, sealed, withoutEtcd);
  const { "etcd-ca-crt": authority = "" } = await readClusterSecrets(paths, sealed);
  const files = pkiFiles(paths);
  await writeFileAtomic({ path: files.etcdCa.crt, content: authority, mode: 0o600 });
  for (const path of [files.etcdClient.crt, files.etcdClient.key]) await removeFile(path);
}

/**
 * Makes the certificates of an engine of our own, with the cluster's authority for them or a new one. The file of authorities
 * has theirs too until their etcd is left.
 */
export async function makeEngineCertificates(input: BootstrapInput, deps: AccessDeps): Promise<void> {
  const { paths, now } = deps;
  const seal = await deps.seal();
  const known = await readClusterSecrets(paths, seal);
  const at = new Date(now());
  const own = deps.nodeKey.certificate(input.view.name, at);
  // What a node that joined was not given is made here: the cluster has no authority for engines of its own yet.
  const { via: _via, ...founder } = input;
  const made = completeNodePki(founder, { ...known, "server-crt": own.certificate, "server-key": own.key }, at);
  const shared = Object.fromEntries(Object.entries(made.cluster).filter(([key]) => engineKeys.has(key)));
  await changeClusterSecrets(paths, seal, (secrets) => ({ ...secrets, ...shared }));
  const places = new Set(
    engineRows.flatMap((row) => [certificateFile(input, row, "crt"), certificateFile(input, row, "key")]),
  );
  for (const file of made.files) if (places.has(file.path)) await writeFileAtomic(file);
  const ours = made.cluster["etcd-ca-crt"] ?? "";
  const theirs = known["datastore-ca-crt"] ?? "";
  await writeFileAtomic({ path: pkiFiles(paths).etcdCa.crt, content: lines(theirs) + ours, mode: 0o600 });
}

/** Only theirs counts again. */
export async function takeBackAuthority({ paths, seal }: AccessDeps): Promise<void> {
  const { "datastore-ca-crt": theirs = "" } = await readClusterSecrets(paths, await seal());
  if (theirs === "") return;
  await writeFileAtomic({ path: pkiFiles(paths).etcdCa.crt, content: theirs, mode: 0o600 });
}

const engineRows = certificateTable.filter(({ managedDatastoreOnly }) => managedDatastoreOnly);
const engineKeys: ReadonlySet<string> = new Set(
  [...engineRows, ...authorityTable.filter(({ managedDatastoreOnly }) => managedDatastoreOnly)].flatMap(({ name }) => [
    `${name}-crt`,
    `${name}-key`,
  ]),
);

const lines = (pem: string): string => (pem === "" || pem.endsWith("\n") ? pem : `${pem}\n`);

function withoutEtcd({
  "datastore-ca-crt": _ca,
  "datastore-client-crt": _crt,
  "datastore-client-key": _key,
  "datastore-url": _url,
  ...others
}: SuppliedPki): SuppliedPki {
  return others;
}
