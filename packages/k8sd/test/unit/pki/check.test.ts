import { describe, expect, test } from "vitest";
import { AppError } from "../../../src/lib/app-error.ts";
import { checkSupplied } from "../../../src/pki/check.ts";
import { completePki } from "../../../src/pki/complete.ts";
import { generateKey } from "../../../src/pki/keys.ts";
import type { SuppliedPki } from "../../../src/pki/supplied.ts";
import { aNode, anAuthority, cluster, leaf, options } from "./support.ts";

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof AppError) return error.message;
    throw error;
  }
  return "";
}

describe("the check of what a user supplied", () => {
  const stranger = leaf({ authority: "client-ca" });
  const cases: readonly (readonly [string, SuppliedPki, string])[] = [
    ["a key without its certificate", { "ca-key": cluster["ca-key"] }, "without a certificate"],
    ["an external authority alone", { "ca-crt": cluster["ca-crt"] }, "using an external kubernetes CA"],
    ["an authority that is about to end", anAuthority(generateKey(), 60_000), "less than 10 minutes from now"],
    ["a service-account key that is none", { "service-account-key": "x" }, "service-account-key"],
    [
      "a certificate of an authority that is yet to be made",
      { "apiserver-crt": stranger.certificate, "apiserver-key": stranger.key },
      "not signed by ca-crt",
    ],
  ];

  test.each(cases)("refuses %s, as completing it does", (_what, supplied, text) => {
    const refusal = messageOf(() => checkSupplied(supplied, aNode(), options()));
    expect(refusal).toContain(text);
    expect(messageOf(() => completePki(supplied, aNode(), options()))).toBe(refusal);
  });

  test("refuses names that no certificate can carry", () => {
    const node = aNode({ extraSans: ["not a name"] });
    expect(messageOf(() => checkSupplied({}, node, options()))).toContain("extra-sans");
  });

  test("refuses a node that joins without the authorities of its cluster", () => {
    const refusal = messageOf(() => checkSupplied({}, aNode(), options({ createAuthorities: false })));
    expect(refusal).toContain("kubernetes CA not specified");
  });

  test("tells what is there from what is to be made", () => {
    const checked = checkSupplied(
      { ...cluster, "front-proxy-ca-crt": "", "front-proxy-ca-key": "" },
      aNode(),
      options(),
    );
    const missing = checked.authorities.filter(({ given }) => given === undefined).map(({ row }) => row.name);
    expect(missing).toEqual(["front-proxy-ca"]);
    const given = checked.pairs.filter((pair) => "given" in pair).map(({ row }) => row.name);
    expect(given).toEqual(["apiserver-kubelet-client", "etcd-apiserver-client", "cluster"]);
    expect(checked.serviceAccountKey).toBe(cluster["service-account-key"]);
  });
});
