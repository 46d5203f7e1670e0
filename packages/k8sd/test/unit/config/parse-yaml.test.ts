import { describe, expect, test } from "vitest";
import {
  parseBootstrapConfig,
  parseControlPlaneJoinConfig,
  parseWorkerJoinConfig,
} from "../../../src/cluster/config/parse-yaml.ts";

describe("bootstrap file", () => {
  test.each(["", "# only a comment\n", "{}", "null"])("%j means all defaults", (text) => {
    expect(parseBootstrapConfig(text)).toEqual({});
  });

  test.each([
    ["yes", true],
    ["on", true],
    ["True", true],
    ["no", false],
    ["off", false],
    ["N", false],
  ])("%s is a boolean", (word, value) => {
    expect(parseBootstrapConfig(`disable-rbac: ${word}`)).toEqual({ "disable-rbac": value });
  });

  test.each([
    ["6443", 6443],
    ["0x1F", 31],
    ["010", 8],
    ["0o10", 8],
    ["0b11", 3],
    ["6_443", 6443],
    ["6443.0", 6443],
    ["1e3", 1000],
  ])("%s is a number", (word, value) => {
    expect(parseBootstrapConfig(`secure-port: ${word}`)).toEqual({ "secure-port": value });
  });

  test("bare words and numbers are text where text is wanted", () => {
    const text = `
pod-cidr: 10
cluster-config:
  annotations: { a: true, b: 010, c: "x" }
extra-node-kubelet-args:
  --max-pods: 0200
  --fail-swap-on: no
  --gone: null
extra-sans: [1.10, on]
`;
    expect(parseBootstrapConfig(text)).toEqual({
      "pod-cidr": "10",
      "cluster-config": { annotations: { a: "true", b: "010", c: "x" } },
      "extra-node-kubelet-args": { "--max-pods": "0200", "--fail-swap-on": "no", "--gone": null },
      "extra-sans": ["1.10", "on"],
    });
  });

  test("what belongs to containerd keeps the types YAML gives it", () => {
    const text = "extra-node-containerd-config: { a: { b: yes, c: 010, d: 1.5, e: 'yes', f: [1, x], g: null } }";
    expect(parseBootstrapConfig(text)["extra-node-containerd-config"]).toEqual({
      a: { b: true, c: 8, d: 1.5, e: "yes", f: [1, "x"], g: null },
    });
  });

  test("null is absent", () => {
    expect(parseBootstrapConfig("pod-cidr:\nsecure-port: ~\ncluster-config: { dns: { enabled: null } }")).toEqual({
      "cluster-config": { dns: {} },
    });
  });

  test("anchors and merge keys work", () => {
    const text = "extra-node-kubelet-args: &a { --v: 2, --x: a }\nextra-node-kube-proxy-args: { <<: *a, --x: b }";
    expect(parseBootstrapConfig(text)["extra-node-kube-proxy-args"]).toEqual({ "--v": "2", "--x": "b" });
  });

  test.each([
    [
      "cluster-config:\n  dns:\n    enabld: true",
      'unknown key "cluster-config.dns.enabld" (line 3)',
      'Did you mean "enabled"?',
    ],
    ["pod_cidr: 10.1.0.0/16", 'unknown key "pod_cidr" (line 1)', 'Did you mean "pod-cidr"?'],
    ["Pod-Cidr: 10.1.0.0/16", 'unknown key "Pod-Cidr" (line 1)', 'Did you mean "pod-cidr"?'],
    ["quite-something: 1", 'unknown key "quite-something" (line 1)', "Remove it."],
    ["pod-cidr: a\npod-cidr: b", "Map keys must be unique at line 2, column 1", "Correct the YAML."],
    ["disable-rbac: maybe", 'disable-rbac: "maybe" is not true or false (line 1)', "Give disable-rbac true or false."],
    ["disable-rbac: 'yes'", 'disable-rbac: "yes" is not true or false (line 1)', "Give disable-rbac true or false."],
    ["secure-port: high", 'secure-port: "high" is not a whole number (line 1)', "Give secure-port a whole number."],
    ["secure-port: 1.5", 'secure-port: "1.5" is not a whole number (line 1)', "Give secure-port a whole number."],
    ["pod-cidr: [a]", "pod-cidr: ", "Correct the value."],
    ["extra-sans: a", "extra-sans: ", "Correct the value."],
    ["- a", "the document: ", "Correct the value."],
    ["a: [", "", "Correct the YAML."],
  ])("%j is refused", (text, message, remedy) => {
    expect(() => parseBootstrapConfig(text)).toThrow(
      expect.objectContaining({
        kind: "invalid",
        remedy,
        message: expect.stringContaining(`cannot read the configuration: ${message}`),
      }),
    );
  });

  test("a document that aliases blow up is refused at once", () => {
    const levels = Array.from(
      { length: 9 },
      (_, i) => `  l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(", ")}]`,
    );
    const text = `extra-node-containerd-config:\n  l0: &l0 [x]\n${levels.join("\n")}`;
    expect(() => parseBootstrapConfig(text)).toThrow("the document is too large");
  });

  test("deep nesting ends in an error, not in the end of the stack", () => {
    expect(() =>
      parseBootstrapConfig(`extra-node-containerd-config: ${'{"a": '.repeat(500)}1${"}".repeat(500)}`),
    ).toThrow(expect.objectContaining({ kind: "invalid" }));
  });
});

test("join files know the keys of their role only", () => {
  expect(parseControlPlaneJoinConfig('{"extra-sans": ["a"], "extra-node-etcd-args": {"--x": "1"}}')).toEqual({
    "extra-sans": ["a"],
    "extra-node-etcd-args": { "--x": "1" },
  });
  expect(() => parseWorkerJoinConfig("extra-sans: [a]")).toThrow('unknown key "extra-sans"');
  expect(() => parseControlPlaneJoinConfig("ca-crt: x")).toThrow('unknown key "ca-crt"');
});
