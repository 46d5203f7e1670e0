import type { X509Certificate } from "node:crypto";
import type { AuthorityName } from "./authority-table.ts";
import type { Usage } from "./certificate.ts";
import { altNames, noNames, readSans, type Subject, type SubjectAltNames } from "./names.ts";
import { type NodeIdentity, type NodeRole, nodeUid } from "./node-identity.ts";

export type PairName =
  | "apiserver"
  | "apiserver-kubelet-client"
  | "front-proxy-client"
  | "kubelet"
  | "admin-client"
  | "kube-controller-manager-client"
  | "kubelet-client"
  | "kube-proxy-client"
  | "kube-scheduler-client"
  | "etcd-server"
  | "etcd-peer"
  | "etcd-apiserver-client"
  | "k8sd-datastore-client"
  | "cluster"
  | "server";

const everyRole = ["control-plane", "worker"] as const;
const controlPlane = ["control-plane"] as const;

/** Where a certificate and its key are kept. */
export type Home =
  | { readonly in: "pki" | "state" /** Without `.crt` and `.key`. */; readonly file: string }
  | { readonly in: "kubeconfig"; readonly file: KubeconfigFile };

export type KubeconfigFile = "admin.conf" | "controller.conf" | "kubelet.conf" | "proxy.conf" | "scheduler.conf";

export interface CertificateRow {
  /** Its configuration keys are `<name>-crt` and `<name>-key`. */
  readonly name: PairName;
  /** What `certs-status` and `refresh-certs` call it; absent for what they do not know. */
  readonly publicName?: string;
  /** What errors call it. */
  readonly title: string;
  readonly home: Home;
  subject(node: NodeIdentity): Subject;
  names(node: NodeIdentity, role: NodeRole): SubjectAltNames;
  /** "self": others pin its fingerprint, so it is as long-lived as an authority. */
  readonly issuer: AuthorityName | "self";
  readonly usages: readonly Usage[];
  /** What a certificate supplied by the user must at least allow, when that is less than `usages`. */
  readonly suppliedUsages?: readonly Usage[];
  /** The subject is what grants access, so a supplied certificate must have exactly this one. */
  readonly subjectMatters?: true;
  /** A name that clients of a supplied certificate need and it does not have. */
  missingName?(certificate: X509Certificate, node: NodeIdentity): string | undefined;
  readonly roles: readonly NodeRole[];
  readonly managedDatastoreOnly?: true;
  /** "cluster": made once and handed to every control plane. */
  readonly scope: "node" | "cluster";
  /** Used in its place when its authority's key is held elsewhere and the configuration has no key for it. */
  readonly substitute?: PairName;
}

/** By this name the datastore knows kube-apiserver and gives it its own keys alone. */
export const apiserverDatastoreName = "kube-apiserver-etcd-client";

/** Every certificate with a key that a node holds, in the order in which `certs-status` lists them. */
export const certificateTable: readonly CertificateRow[] = [
  {
    name: "apiserver",
    publicName: "apiserver",
    title: "apiserver",
    home: { in: "pki", file: "apiserver" },
    subject: () => ({ commonName: "kube-apiserver" }),
    names: apiserverNames,
    issuer: "ca",
    usages: ["server"],
    missingName: (certificate) => missingDns(certificate, "kubernetes") ?? missingLoopback(certificate),
    roles: controlPlane,
    scope: "node",
  },
  {
    name: "apiserver-kubelet-client",
    publicName: "apiserver-kubelet-client",
    title: "apiserver-kubelet-client",
    home: { in: "pki", file: "apiserver-kubelet-client" },
    subject: () => ({ commonName: "apiserver-kubelet-client", organization: "system:masters" }),
    names: () => noNames,
    issuer: "client-ca",
    usages: ["client"],
    roles: controlPlane,
    scope: "cluster",
  },
  {
    name: "front-proxy-client",
    publicName: "front-proxy-client",
    title: "front-proxy-client",
    home: { in: "pki", file: "front-proxy-client" },
    // kube-apiserver's --requestheader-allowed-names holds this name.
    subject: () => ({ commonName: "front-proxy-client" }),
    subjectMatters: true,
    names: () => noNames,
    issuer: "front-proxy-ca",
    usages: ["client"],
    roles: controlPlane,
    scope: "node",
  },
  {
    name: "kubelet",
    publicName: "kubelet",
    title: "kubelet",
    home: { in: "pki", file: "kubelet" },
    subject: kubeletSubject,
    names: kubeletNames,
    issuer: "ca",
    usages: ["server"],
    missingName: (certificate, node) => missingDns(certificate, node.nodeName),
    roles: everyRole,
    scope: "node",
  },
  {
    ...kubeconfigRow("admin-client", "admin", "admin.conf", controlPlane),
    // A person's, not the node's: it is handed out by 'k8s config'.
    subject: () => ({ commonName: "kubernetes-admin", organization: "system:masters" }),
  },
  {
    ...kubeconfigRow("kube-controller-manager-client", "controller", "controller.conf", controlPlane),
    subject: (node) => ({ commonName: "system:kube-controller-manager", uid: nodeUid(node.id) }),
  },
  {
    ...kubeconfigRow("kubelet-client", "kubelet", "kubelet.conf", everyRole),
    subject: (node) => ({ ...kubeletSubject(node), uid: nodeUid(node.id) }),
    // The node authorizer knows a kubelet by exactly this name and group.
    subjectMatters: true,
  },
  {
    ...kubeconfigRow("kube-proxy-client", "proxy", "proxy.conf", everyRole),
    subject: (node) => ({ commonName: "system:kube-proxy", uid: nodeUid(node.id) }),
  },
  {
    ...kubeconfigRow("kube-scheduler-client", "scheduler", "scheduler.conf", controlPlane),
    subject: (node) => ({ commonName: "system:kube-scheduler", uid: nodeUid(node.id) }),
  },
  {
    ...etcdRow("etcd-server", "etcd/server", { commonName: "kube-etcd" }),
    names: etcdNames,
    // etcd's HTTP gateway calls its own client port with the server certificate.
    usages: ["server", "client"],
    suppliedUsages: ["server"],
    missingName: missingLoopback,
  },
  {
    ...etcdRow("etcd-peer", "etcd/peer", { commonName: "kube-etcd-peer" }),
    names: etcdNames,
    // A peer dials and is dialled with the same certificate.
    usages: ["server", "client"],
  },
  {
    ...etcdRow("etcd-apiserver-client", "apiserver-etcd-client", { commonName: apiserverDatastoreName }),
    scope: "cluster",
  },
  {
    // Apart from kube-apiserver's, so that the datastore can tell the two and give each its own keys.
    ...etcdRow("k8sd-datastore-client", "datastore-client", { commonName: "k8sd" }),
    home: { in: "state", file: "datastore-client" },
    substitute: "etcd-server",
  },
  {
    name: "cluster",
    title: "cluster",
    home: { in: "state", file: "cluster" },
    subject: () => ({ commonName: "k8sd-cluster" }),
    // kube-apiserver calls the token webhook under the name 127.0.0.1 on whichever node it runs; other nodes pin it.
    names: (node) => altNames([node.nodeName, node.hostName, "localhost"], [...node.addresses, ...loopback]),
    issuer: "self",
    usages: ["server"],
    roles: controlPlane,
    scope: "cluster",
  },
  {
    name: "server",
    title: "server",
    home: { in: "state", file: "server" },
    subject: (node) => ({ commonName: node.nodeName }),
    names: (node) => altNames([node.nodeName], []),
    issuer: "self",
    // The node's long-lived identity towards other nodes; what listens shows the cluster certificate.
    usages: ["client"],
    roles: everyRole,
    scope: "node",
  },
];

export function certificateRow(name: PairName): CertificateRow {
  const row = certificateTable.find((candidate) => candidate.name === name);
  if (row === undefined) throw new Error(`no certificate is called ${name}`);
  return row;
}

const loopback = ["127.0.0.1", "::1"];

function apiserverNames(node: NodeIdentity): SubjectAltNames {
  const extra = readSans(node.extraSans, "extra-sans");
  const service = "kubernetes.default.svc";
  // The fixed spellings stay for clients that were configured with them when the cluster domain is another one.
  const services = ["kubernetes", "kubernetes.default", service, `${service}.cluster`, `${service}.cluster.local`];
  return altNames(
    [...services, `${service}.${node.clusterDomain}`, node.nodeName, node.hostName, "localhost", ...extra.dns],
    [...node.addresses, ...node.serviceIps, ...loopback, ...extra.ip],
  );
}

function kubeletNames(node: NodeIdentity, role: NodeRole): SubjectAltNames {
  const extra = role === "control-plane" ? readSans(node.extraSans, "extra-sans") : noNames;
  return altNames([node.nodeName, node.hostName, ...extra.dns], [...node.addresses, ...loopback, ...extra.ip]);
}

function etcdNames(node: NodeIdentity): SubjectAltNames {
  const extra = readSans(node.extraSans, "extra-sans");
  return altNames(
    [node.nodeName, node.hostName, "localhost", ...extra.dns],
    [...node.addresses, ...loopback, ...extra.ip],
  );
}

function kubeletSubject(node: NodeIdentity): Subject {
  return { commonName: `system:node:${node.nodeName}`, organization: "system:nodes" };
}

function kubeconfigRow(
  name: PairName,
  title: string,
  file: KubeconfigFile,
  roles: readonly NodeRole[],
): Omit<CertificateRow, "subject"> {
  return {
    name,
    publicName: file,
    title,
    home: { in: "kubeconfig", file },
    names: () => noNames,
    issuer: "client-ca",
    usages: ["client"],
    roles,
    scope: "node",
  };
}

function etcdRow(name: PairName, file: string, subject: Subject): CertificateRow {
  return {
    name,
    title: name,
    home: { in: "pki", file },
    subject: () => subject,
    names: () => noNames,
    issuer: "etcd-ca",
    usages: ["client"],
    roles: controlPlane,
    managedDatastoreOnly: true,
    scope: "node",
  };
}

function missingDns(certificate: X509Certificate, name: string): string | undefined {
  return certificate.checkHost(name, { subject: "never" }) === undefined ? name : undefined;
}

/** Components on the node connect through whichever loopback address it has. */
function missingLoopback(certificate: X509Certificate): string | undefined {
  return loopback.some((address) => certificate.checkIP(address) !== undefined) ? undefined : "127.0.0.1";
}
