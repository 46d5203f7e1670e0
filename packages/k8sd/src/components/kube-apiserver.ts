import { readFile } from "node:fs/promises";
import { stringify } from "yaml";
import { parseKubeconfig } from "../kube/kubeconfig.ts";
import { poll } from "../lib/wait.ts";
import { hostPort, isLoopback } from "./address.ts";
import { authorizationArguments } from "./authorization.ts";
import { cipherSuites, pkiFiles } from "./certificates.ts";
import type { ComponentSpec, NodeView } from "./component.ts";
import { healthy } from "./probe.ts";
import { componentService, effectiveArgument } from "./service.ts";

/** It lists all of the datastore before it is ready; observed 2 to 5 s, on a busy small machine ten times that. */
const readyMs = 120_000;

function render(node: NodeView) {
  const { paths } = node;
  const pki = pkiFiles(paths);
  const address = node.addresses[0];
  const service = componentService(node, {
    name: "kube-apiserver",
    description: "Kubernetes API server",
    after: ["k8s-datastore", "etcd"],
    stopTimeoutSeconds: 5,
    args: {
      "--advertise-address": address === undefined || isLoopback(address) ? undefined : address,
      "--allow-privileged": "true",
      "--anonymous-auth": "false",
      "--authentication-token-webhook-config-file": paths.authTokenWebhook,
      ...authorizationArguments(node),
      "--client-ca-file": pki.clientCa.crt,
      "--enable-admission-plugins": "NodeRestriction",
      ...datastoreArguments(node),
      "--kubelet-certificate-authority": pki.ca.crt,
      "--kubelet-client-certificate": pki.apiserverKubeletClient.crt,
      "--kubelet-client-key": pki.apiserverKubeletClient.key,
      "--kubelet-preferred-address-types": "InternalIP,Hostname,InternalDNS,ExternalDNS,ExternalIP",
      "--profiling": "false",
      "--proxy-client-cert-file": pki.frontProxyClient.crt,
      "--proxy-client-key-file": pki.frontProxyClient.key,
      "--request-timeout": "300s",
      "--requestheader-allowed-names": "front-proxy-client",
      "--requestheader-client-ca-file": pki.frontProxyCa.crt,
      "--requestheader-extra-headers-prefix": "X-Remote-Extra-",
      "--requestheader-group-headers": "X-Remote-Group",
      "--requestheader-username-headers": "X-Remote-User",
      "--secure-port": String(node.securePort),
      "--service-account-issuer": "https://kubernetes.default.svc",
      "--service-account-key-file": pki.serviceAccountKey,
      "--service-account-signing-key-file": pki.serviceAccountKey,
      "--service-cluster-ip-range": node.network.serviceCidrs.join(","),
      "--tls-cert-file": pki.apiserver.crt,
      "--tls-cipher-suites": cipherSuites.join(","),
      "--tls-min-version": "VersionTLS12",
      "--tls-private-key-file": pki.apiserver.key,
    },
  });
  return {
    service,
    files: [
      // Bearer tokens that it does not know.
      { path: paths.authTokenWebhook, content: webhook(node, "k8s-token-auth-service", "webhook"), mode: 0o600 },
      // Certificates of nodes that it does not know.
      {
        path: paths.authorizationWebhook,
        content: webhook(node, "k8s-node-auth-service", "node-webhook"),
        mode: 0o600,
      },
    ],
    directories: [{ path: paths.confD, mode: 0o700 }],
  };
}

function datastoreArguments(node: NodeView): Readonly<Record<string, string | undefined>> {
  const { datastore, paths } = node;
  const pki = pkiFiles(paths);
  const servers = datastore.endpoints.join(",");
  if (datastore.engine === "external") {
    return {
      "--etcd-servers": servers,
      "--etcd-cafile": datastore.ca ? pki.etcdCa.crt : undefined,
      "--etcd-certfile": datastore.clientCertificate ? pki.etcdClient.crt : undefined,
      "--etcd-keyfile": datastore.clientCertificate ? pki.etcdClient.key : undefined,
    };
  }
  return {
    "--etcd-servers": servers,
    "--etcd-cafile": pki.etcdCa.crt,
    "--etcd-certfile": pki.apiserverEtcdClient.crt,
    "--etcd-keyfile": pki.apiserverEtcdClient.key,
  };
}

/** How kube-apiserver asks k8sd on the same node. */
function webhook(node: NodeView, name: string, endpoint: string): string {
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name,
        cluster: {
          "certificate-authority": node.paths.clusterCert,
          server: `https://${node.k8sdAddress}/1.0/kubernetes/auth/${endpoint}`,
          "tls-server-name": "127.0.0.1",
        },
      },
    ],
    users: [{ name: "k8s-apiserver", user: {} }],
    contexts: [{ name: "webhook", context: { cluster: name, user: "k8s-apiserver" } }],
    "current-context": "webhook",
  });
}

export const kubeApiserver: ComponentSpec = {
  name: "kube-apiserver",
  wanted: (node) => node.role === "control-plane",
  render,
  async ready(node, signal) {
    const port = effectiveArgument(render(node).service, "--secure-port", "6443");
    await poll(
      async (abort) => {
        // Read on every try: the file may be replaced while it starts.
        const admin = parseKubeconfig(await readFile(node.paths.kubeconfig.admin, "utf8"));
        return healthy({
          url: `https://${hostPort(node.loopback, port)}/readyz?verbose`,
          signal: abort,
          tls: { ca: admin.certificateAuthority, cert: admin.certificate, key: admin.key },
        });
      },
      { what: "see kube-apiserver ready", deadlineMs: readyMs, signal, remedy: "Look at the log of kube-apiserver." },
    );
  },
  reloads: "by itself",
};
