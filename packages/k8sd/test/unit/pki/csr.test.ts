import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { AppError } from "../../../src/lib/app-error.ts";
import { createCsr, parseCsr } from "../../../src/pki/csr.ts";
import { generateKey, publicKeyOf } from "../../../src/pki/keys.ts";
import { altNames, noNames } from "../../../src/pki/names.ts";
import { pemDecode, pemEncode } from "../../../src/pki/pem.ts";
import { signRequest } from "../../../src/pki/sign-request.ts";
import { namesOf } from "../../../src/pki/x509.ts";
import { aNode, cluster, now } from "./support.ts";

const kubelet = { commonName: "system:node:n1", organization: "system:nodes" };

function errorOf(run: () => unknown): AppError {
  try {
    run();
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("a certificate request", () => {
  test.each([
    ["EC", generateKey()],
    ["RSA", generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey],
    ["Ed25519", generateKeyPairSync("ed25519").privateKey],
    ["P-384", generateKeyPairSync("ec", { namedCurve: "secp384r1" }).privateKey],
  ])("of an %s key is read as it was made", (_name, key) => {
    const names = altNames(["n1", "machine-1"], ["10.0.0.5", "fd00::5"]);
    const csr = parseCsr(createCsr(kubelet, names, key));
    expect(csr).toMatchObject({
      commonName: "system:node:n1",
      organizations: ["system:nodes"],
      names,
      otherNames: false,
    });
    expect(csr.publicKey.equals(publicKeyOf(key))).toBe(true);
    expect(parseCsr(createCsr({ commonName: "x" }, noNames, key)).names).toEqual(noNames);
  });

  test("is refused when its sender does not hold the key, or when any byte of it was changed or cut", () => {
    const body =
      pemDecode("CERTIFICATE REQUEST", createCsr(kubelet, altNames(["n1"], []), generateKey()))[0] ?? Buffer.of();
    for (let position = 0; position < body.length; position++) {
      const changed = Buffer.from(body);
      changed.writeUInt8(changed.readUInt8(position) ^ 0x01, position);
      expect(errorOf(() => parseCsr(pemEncode("CERTIFICATE REQUEST", changed))).kind, `byte ${position}`).toBe(
        "invalid",
      );
      const cut = body.subarray(0, position);
      expect(errorOf(() => parseCsr(pemEncode("CERTIFICATE REQUEST", cut))).kind, `cut at ${position}`).toBe("invalid");
    }
  });

  test("is refused when it is something else, too long, or weak", () => {
    expect(errorOf(() => parseCsr(cluster["ca-crt"] ?? "")).kind).toBe("invalid");
    expect(errorOf(() => parseCsr("x".repeat(70_000))).message).toContain("longer than");
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
    expect(errorOf(() => parseCsr(createCsr(kubelet, noNames, weak))).message).toContain("2048 bits");
  });
});

describe("a request that is not DER", () => {
  const label = "CERTIFICATE REQUEST";
  const refuse = (der: Buffer): string => errorOf(() => parseCsr(pemEncode(label, der))).kind;
  const body = pemDecode(label, createCsr(kubelet, noNames, generateKey()))[0] ?? Buffer.of();

  test("is refused, though it holds the same values and they were signed", () => {
    const content = body.subarray(3);
    const [outer, inner] = [body.subarray(0, 2), content.subarray(0, 2)];
    expect([outer.toString("hex"), inner.toString("hex")]).toEqual(["3081", "3081"]);
    expect(refuse(Buffer.concat([Buffer.of(0x30, 0x82, 0), body.subarray(2)]))).toBe("invalid");
    const info = Buffer.concat([Buffer.of(0x30, 0x82, 0), content.subarray(2)]);
    expect(refuse(Buffer.concat([Buffer.of(0x30, 0x81, info.length), info]))).toBe("invalid");
    expect(refuse(Buffer.concat([Buffer.of(0x30, 0x80), content, Buffer.of(0, 0)]))).toBe("invalid");
    expect(refuse(Buffer.concat([body, Buffer.of(0)]))).toBe("invalid");
  });

  test.each([
    ["nested without end", Buffer.alloc(40_000, Buffer.of(0x30, 0x80))],
    ["nested with lengths", nested(10_000)],
    [
      "made of very many values",
      Buffer.concat([Buffer.of(0x30, 0x82, 0x9c, 0x40), Buffer.alloc(40_000, "3000", "hex")]),
    ],
    ["of a length that no file has", Buffer.of(0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
  ])("is refused at once when it is %s", (_what, der) => {
    expect(refuse(der)).toBe("invalid");
  });
});

/** SEQUENCE within SEQUENCE, every length right. */
function nested(depth: number): Buffer {
  const headers: Buffer[] = [];
  for (let length = 0, level = 0; level < depth; level++) {
    const header = Buffer.of(0x30, 0x82, length >> 8, length & 0xff);
    headers.unshift(header);
    length += header.length;
  }
  return Buffer.concat(headers);
}

describe("signing a node's request", () => {
  const authority = {
    certificate: new X509Certificate(cluster["ca-crt"] ?? ""),
    privateKey: createPrivateKey(cluster["ca-key"] ?? ""),
  };
  const context = { node: aNode({ extraSans: [] }), role: "worker", authority, now } as const;
  const sign = (subject: { commonName: string; organization?: string }, dns: string[], ip: string[]): string =>
    signRequest("kubelet", createCsr(subject, altNames(dns, ip), generateKey()), context);

  test("gives the names of the node's record, not those of the request", () => {
    const certificate = new X509Certificate(sign(kubelet, ["n1"], ["10.0.0.5"]));
    expect(namesOf(certificate)).toEqual({
      dns: ["n1", "machine-1"],
      ip: ["10.0.0.5", "fd00::5", "fe80::1", "127.0.0.1", "::1"],
    });
    expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
  });

  test.each([
    ["the API server's name", kubelet, ["n1", "kubernetes.default.svc"], []],
    ["another node's address", kubelet, ["n1"], ["10.0.0.6"]],
    ["another node's identity", { ...kubelet, commonName: "system:node:n2" }, ["n1"], []],
    ["another group", { ...kubelet, organization: "system:masters" }, ["n1"], []],
  ])("is refused for %s", (_what, subject, dns, ip) => {
    expect(errorOf(() => sign(subject, dns, ip)).kind).toBe("forbidden");
  });

  test("is refused for a certificate that the node's role does not have", () => {
    const csr = createCsr({ commonName: "kube-apiserver" }, noNames, generateKey());
    expect(errorOf(() => signRequest("apiserver", csr, context)).kind).toBe("forbidden");
  });
});
