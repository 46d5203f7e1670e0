import { join } from "node:path";
import type { Paths } from "../host/paths.ts";

/** Certificate and key files of the contract that the components are pointed to. */
export function pkiFiles(paths: Paths) {
  const pair = (directory: string, name: string) => ({
    crt: join(directory, `${name}.crt`),
    key: join(directory, `${name}.key`),
  });
  return {
    ca: pair(paths.pki, "ca"),
    clientCa: pair(paths.pki, "client-ca"),
    frontProxyCa: pair(paths.pki, "front-proxy-ca"),
    frontProxyClient: pair(paths.pki, "front-proxy-client"),
    apiserver: pair(paths.pki, "apiserver"),
    apiserverKubeletClient: pair(paths.pki, "apiserver-kubelet-client"),
    apiserverEtcdClient: pair(paths.pki, "apiserver-etcd-client"),
    kubelet: pair(paths.pki, "kubelet"),
    serviceAccountKey: join(paths.pki, "serviceaccount.key"),
    etcdCa: pair(paths.etcdPki, "ca"),
    etcdServer: pair(paths.etcdPki, "server"),
    etcdPeer: pair(paths.etcdPki, "peer"),
    /** Given by the user for an external datastore. */
    etcdClient: pair(paths.etcdPki, "client"),
  };
}

/** TLS 1.2 suites with forward secrecy; TLS 1.3 brings its own. */
export const cipherSuites = [
  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
  "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
] as const;
