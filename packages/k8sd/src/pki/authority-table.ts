import type { NodeRole } from "./node-identity.ts";

export type AuthorityName = "ca" | "client-ca" | "front-proxy-ca" | "etcd-ca";

export interface AuthorityRow {
  readonly name: AuthorityName;
  readonly commonName: string;
  /** What errors call it. */
  readonly title: string;
  /** Below the directory of the PKI, without `.crt` and `.key`. */
  readonly file: string;
  readonly roles: readonly NodeRole[];
  readonly managedDatastoreOnly: boolean;
  /** kube-controller-manager signs with it when its key is on disk; the others never are. */
  readonly kubernetesSigner: boolean;
}

const everyRole = ["control-plane", "worker"] as const;
const controlPlane = ["control-plane"] as const;

export const authorityTable: readonly AuthorityRow[] = [
  {
    name: "ca",
    commonName: "kubernetes-ca",
    title: "kubernetes CA",
    file: "ca",
    roles: everyRole,
    managedDatastoreOnly: false,
    kubernetesSigner: true,
  },
  {
    name: "client-ca",
    commonName: "kubernetes-ca-client",
    title: "kubernetes CA client",
    file: "client-ca",
    roles: everyRole,
    managedDatastoreOnly: false,
    kubernetesSigner: true,
  },
  {
    name: "front-proxy-ca",
    commonName: "front-proxy-ca",
    title: "front-proxy CA",
    file: "front-proxy-ca",
    roles: controlPlane,
    managedDatastoreOnly: false,
    kubernetesSigner: false,
  },
  {
    name: "etcd-ca",
    commonName: "etcd-ca",
    title: "etcd CA",
    file: "etcd/ca",
    roles: controlPlane,
    managedDatastoreOnly: true,
    kubernetesSigner: false,
  },
];
