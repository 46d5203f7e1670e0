import { describe, expect, test } from "vitest";
import { fromDer, oid, oidOf, time, toDer } from "../../../src/pki/asn1.ts";
import { constantTimeEqual, fingerprint, readFacts, renewalTime } from "../../../src/pki/expiry.ts";
import { canonicalIp, ipBytes, ipText, readSans } from "../../../src/pki/names.ts";
import { aNode, bootstrap, cluster } from "./support.ts";

test.each([
  ["10.0.0.5", "0a000005"],
  ["::1", "00000000000000000000000000000001"],
  ["::", "00000000000000000000000000000000"],
  ["2001:db8::a:0:1", "20010db800000000" + "0000000a00000001"],
  ["fe80::1%eth0", "fe800000000000000000000000000001"],
  ["::ffff:192.0.2.1", "00000000000000000000ffffc0000201"],
  ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
])("the address %s becomes the bytes %s and comes back", (address, hex) => {
  expect(ipBytes(address).toString("hex")).toBe(hex);
  expect(ipText(ipBytes(address))).toBe(canonicalIp(address));
});

describe("extra-sans", () => {
  test("are sorted into names and addresses, lower case, without doubles", () => {
    expect(
      readSans(["API.example.com", "10.0.0.1", "api.example.com", "FD00::0:1", "*.example.com"], "extra-sans"),
    ).toEqual({
      dns: ["api.example.com", "*.example.com"],
      ip: ["10.0.0.1", "fd00::1"],
    });
  });

  test.each(["https://x", "a b", "[::1]", "10.0.0.0/8", "x:6443", "", "-x", "ä.example", `${"a".repeat(64)}.example`])(
    "refuse %j",
    (value) => {
      expect(() => readSans([value], "extra-sans")).toThrow(/cannot use extra-sans/);
    },
  );
});

test("times are UTCTime up to 2049 and GeneralizedTime after it", () => {
  expect(
    toDer(time(new Date("2049-12-31T23:59:59.999Z")))
      .subarray(2)
      .toString(),
  ).toBe("491231235959Z");
  expect(
    toDer(time(new Date("2050-01-01T00:00:00Z")))
      .subarray(2)
      .toString(),
  ).toBe("20500101000000Z");
});

test.each(["2.5.29.17", "1.2.840.113549.1.9.14", "1.3.101.112", "2.999.1"])(
  "the identifier %s comes back",
  (dotted) => {
    expect(oidOf(fromDer(toDer(oid(dotted))))).toBe(dotted);
  },
);

describe("facts of a certificate", () => {
  test("are what renewal and status need", () => {
    const facts = readFacts(bootstrap.pairs.kubelet?.certificate ?? "", "kubelet-crt");
    expect(facts).toMatchObject({
      commonName: "system:node:n1",
      issuerCommonName: "kubernetes-ca",
      isAuthority: false,
      fingerprint: fingerprint(bootstrap.pairs.kubelet?.certificate ?? ""),
    });
    expect(facts.dns).toContain(aNode().nodeName);
    const half = renewalTime(facts).getTime();
    expect(half - facts.notBefore.getTime()).toBe(facts.notAfter.getTime() - half);
    expect(readFacts(cluster["ca-crt"] ?? "", "ca-crt")).toMatchObject({
      isAuthority: true,
      commonName: "kubernetes-ca",
    });
  });

  test("secrets of different lengths are compared, not refused", () => {
    expect(constantTimeEqual("abc", "abc")).toBe(true);
    expect(constantTimeEqual("abc", "abcd")).toBe(false);
    expect(constantTimeEqual("", "x")).toBe(false);
  });
});
