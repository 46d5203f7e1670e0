import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type TLSSocket, type TlsOptions } from "node:tls";
import { describe, expect, test } from "vitest";
import type { PairName } from "../../../src/pki/certificate-table.ts";
import { completePki } from "../../../src/pki/complete.ts";

const node = {
  id: "0a1b2c3d-0000-8000-8000-000000000001",
  nodeName: "n1",
  hostName: "machine-1",
  addresses: ["10.0.0.5"],
  serviceIps: ["10.152.183.1"],
  clusterDomain: "cluster.local",
  extraSans: [],
};
const pki = completePki({}, node, {
  role: "control-plane",
  datastore: "managed",
  createAuthorities: true,
  signingKeysOnDisk: false,
  paths: { pki: "/pki", state: "/state" },
  now: new Date(),
});

const credentials = (name: PairName): { cert: string; key: string } => {
  const pair = pki.pairs[name];
  return { cert: pair?.certificate ?? "", key: pair?.key ?? "" };
};

/** Connects for real; resolves with the client's common name as the server saw it. */
async function handshake(
  server: TlsOptions,
  client: { cert: string; key: string; ca: string; servername?: string },
): Promise<string> {
  const listener = createServer({ ...server, requestCert: true, rejectUnauthorized: true });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const seen = new Promise<string>((resolve, reject) => {
    listener.once("secureConnection", (socket: TLSSocket) => {
      socket.on("error", () => undefined);
      resolve(String(socket.getPeerCertificate().subject.CN));
    });
    listener.once("tlsClientError", reject);
  });
  const socket = connect({ host: "127.0.0.1", port: (listener.address() as AddressInfo).port, ...client });
  // With TLS 1.3 the client may only learn of the server's refusal after its own side is done.
  const failed = new Promise<never>((_resolve, reject) => socket.once("error", reject));
  try {
    const [, name] = await Promise.race([Promise.all([once(socket, "secureConnect"), seen]), failed]);
    return name;
  } finally {
    seen.catch(() => undefined);
    failed.catch(() => undefined);
    socket.destroy();
    listener.close();
  }
}

const etcdServer = { ...credentials("etcd-server"), ca: pki.cluster["etcd-ca-crt"] ?? "" };

describe("a real handshake", () => {
  test.each([
    ["etcd-apiserver-client", "kube-apiserver-etcd-client"],
    ["k8sd-datastore-client", "k8sd"],
    ["etcd-server", "kube-etcd"],
  ] as const)("lets %s into the datastore, which sees who it is", async (name, commonName) => {
    expect(await handshake(etcdServer, { ...credentials(name), ca: etcdServer.ca })).toBe(commonName);
  });

  test("lets members of etcd call each other in both directions", async () => {
    const peer = { ...credentials("etcd-peer"), ca: etcdServer.ca };
    expect(await handshake(peer, peer)).toBe("kube-etcd-peer");
  });

  test("lets the administrator and the kubelet into the API server", async () => {
    const server = { ...credentials("apiserver"), ca: pki.cluster["client-ca-crt"] ?? "" };
    const trusting = { ca: pki.cluster["ca-crt"] ?? "" };
    expect(await handshake(server, { ...credentials("admin-client"), ...trusting })).toBe("kubernetes-admin");
    expect(await handshake(server, { ...credentials("kubelet-client"), ...trusting })).toBe("system:node:n1");
  });

  test("keeps out a client of another authority, and a server certificate that plays client", async () => {
    const ca = etcdServer.ca;
    await expect(handshake(etcdServer, { ...credentials("admin-client"), ca })).rejects.toThrow();
    const server = { ...credentials("apiserver"), ca: pki.cluster["ca-crt"] ?? "" };
    await expect(handshake(server, { ...credentials("kubelet"), ca: server.ca })).rejects.toThrow();
  });

  test("makes a client refuse a client certificate that plays server", async () => {
    const server = { ...credentials("k8sd-datastore-client"), ca: etcdServer.ca };
    await expect(handshake(server, { ...credentials("etcd-peer"), ca: etcdServer.ca })).rejects.toThrow();
  });

  test("lets the token webhook trust the cluster certificate itself under the name 127.0.0.1", async () => {
    const server = { ...credentials("cluster"), ca: pki.pairs.server?.certificate ?? "" };
    const ca = pki.pairs.cluster?.certificate ?? "";
    expect(await handshake(server, { ...credentials("server"), ca })).toBe("n1");
  });
});
