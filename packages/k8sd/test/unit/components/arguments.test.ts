import { describe, expect, test } from "vitest";
import { mergeArguments, validateExtraArguments } from "../../../src/components/arguments.ts";

describe("extra arguments", () => {
  test("a value sets, null deletes, the rest stays, and names are sorted", () => {
    const merged = mergeArguments(
      { "--b": "1", "--a": "2", "--gone": "3", "--never": undefined },
      { "--b": "x", "--gone": null, "--0": "" },
    );
    expect(Object.entries(merged)).toEqual([
      ["--0", ""],
      ["--a", "2"],
      ["--b", "x"],
    ]);
  });

  test.each([
    ["an unknown service", { coredns: { "--a": "b" } }, "there is no such service", "extra-node-coredns-args"],
    [
      "k8s-datastore, which is ours alone",
      { "k8s-datastore": {} },
      "there is no such service",
      "extra-node-k8s-datastore-args",
    ],
    ["a name without dashes", { kubelet: { v: "4" } }, "not a flag", "extra-node-kubelet-args"],
    ["a name with one dash", { kubelet: { "-v": "4" } }, "not a flag", "extra-node-kubelet-args"],
    ["a name with its value", { kubelet: { "--v=4": "" } }, "not a flag", "extra-node-kubelet-args"],
    ["a name with a line break", { kubelet: { "--v\n--x": "4" } }, "not a flag", "extra-node-kubelet-args"],
    ["a name with a space", { etcd: { "--v 4": null } }, "not a flag", "extra-node-etcd-args"],
    [
      "a value with a line break",
      { kubelet: { "--v": "4\n--anonymous-auth=true" } },
      "line break",
      "extra-node-kubelet-args",
    ],
    ["a value with a NUL", { kubelet: { "--v": "4\0" } }, "line break", "extra-node-kubelet-args"],
    [
      "a value too long for a command line",
      { kubelet: { "--v": "x".repeat(65537) } },
      "too long",
      "extra-node-kubelet-args",
    ],
  ])("%s is refused with the field and a remedy", (_case, extra, message, field) => {
    expect(() => validateExtraArguments(extra)).toThrow(
      expect.objectContaining({
        kind: "invalid",
        field,
        message: expect.stringContaining(message),
        remedy: expect.any(String),
      }),
    );
  });

  test("shell text is a value like any other", () => {
    expect(() => validateExtraArguments({ kubelet: { "--x": '$(reboot) "quoted" `id`' } })).not.toThrow();
  });
});
