import { createHash } from "node:crypto";
import type { MessageStream, PeerId } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { multiaddrConnectionPair } from "@libp2p/utils";
import { expect, test, vi } from "vitest";
import { createNodeKey } from "../../../src/cluster/node-key.ts";
import { type MeshCertificate, meshTls } from "../../../src/mesh/tls-encrypter.ts";
import { selfSign } from "../../../src/pki/certificate.ts";
import { privateKeyPem } from "../../../src/pki/keys.ts";
import { noNames } from "../../../src/pki/names.ts";
import { newKey } from "./cluster.ts";

const now = new Date();
const deps = { now: Date.now, streamMuxer: () => undefined };
const aNode = () => {
  const { meshPeer, meshCertificate } = createNodeKey(newKey("P-256"));
  return { peerId: peerIdFromString(meshPeer), certificate: meshCertificate(now) };
};
const signal = () => AbortSignal.timeout(10_000);

/** Both ends of one connection, as each sees it. */
function handshake(outbound: MeshCertificate, inbound: MeshCertificate, expected?: PeerId) {
  const [below, other] = multiaddrConnectionPair();
  const limits = expected === undefined ? {} : { remotePeer: expected };
  return Promise.allSettled([
    meshTls(outbound, deps).secureOutbound(below, { signal: signal(), ...limits }),
    meshTls(inbound, deps).secureInbound(other, { signal: signal() }),
  ]);
}

async function connected() {
  const [a, b] = [aNode(), aNode()];
  const [out, inn] = await handshake(a.certificate, b.certificate, b.peerId);
  if (out.status === "rejected" || inn.status === "rejected") throw new Error("no handshake");
  return { a, b, out: out.value, inn: inn.value };
}

test("each side learns who the other one is, from the key that it proved", async () => {
  const { a, b, out, inn } = await connected();
  expect([out.remotePeer.toString(), inn.remotePeer.toString()]).toEqual([b.peerId.toString(), a.peerId.toString()]);
});

test("what is sent arrives unchanged, more than any buffer holds, and the end of one side ends the other", async () => {
  const { out, inn } = await connected();
  const sent = Buffer.alloc(6_000_000, "0123456789abcdef-");
  const got = createHash("sha256");
  let bytes = 0;
  inn.connection.addEventListener("message", ({ data }) => {
    got.update(data.subarray());
    bytes += data.byteLength;
  });
  for (let at = 0; at < sent.length; at += 50_000) {
    if (!out.connection.send(sent.subarray(at, at + 50_000))) await out.connection.onDrain({ signal: signal() });
  }
  await vi.waitFor(() => expect(bytes).toBe(sent.length), 10_000);
  expect(got.digest("hex")).toBe(createHash("sha256").update(sent).digest("hex"));
  const ended = (stream: MessageStream) => vi.waitFor(() => expect(stream.status).not.toBe("open"), 5_000);
  await out.connection.close({ signal: signal() });
  await Promise.all([ended(out.connection), ended(inn.connection)]);
});

test("another peer than the one that was dialled is refused", async () => {
  const [a, b, c] = [aNode(), aNode(), aNode()];
  const [out] = await handshake(a.certificate, b.certificate, c.peerId);
  expect(out).toMatchObject({ status: "rejected", reason: { name: "UnexpectedPeerError" } });
});

test.each([
  ["of another kind", newKey("P-256"), 0, /of another kind/],
  ["that is not valid yet", newKey("ed25519"), 7_200_000, /not valid yet/],
  ["that has expired", newKey("ed25519"), -7_200_000, /has expired/],
])("a certificate %s is refused on either side", async (_which, key, from, reason) => {
  const good = aNode();
  const template = { subject: { commonName: "x" }, names: noNames, usages: ["server", "client"] } as const;
  const certificate = selfSign({ ...template, lifetimeMs: 3_600_000, now: new Date(now.getTime() + from) }, key);
  const bad = { certificate, key: privateKeyPem(key) };
  const [, inn] = await handshake(bad, good.certificate);
  expect(inn).toMatchObject({ status: "rejected", reason: { message: expect.stringMatching(reason) } });
  const [out] = await handshake(good.certificate, bad);
  expect(out).toMatchObject({ status: "rejected", reason: { message: expect.stringMatching(reason) } });
});

test("who shows no certificate is refused", async () => {
  const [below, other] = multiaddrConnectionPair();
  const good = aNode();
  const silent = { certificate: "", key: "" };
  const [, inn] = await Promise.allSettled([
    meshTls(silent, deps).secureOutbound(below, { signal: signal() }),
    meshTls(good.certificate, deps).secureInbound(other, { signal: signal() }),
  ]);
  expect(inn).toMatchObject({ status: "rejected", reason: { message: "it shows no certificate" } });
});
