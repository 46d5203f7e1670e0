import { describe, expect, test } from "vitest";

import { parseArgLine, parseArgs, updateArgs, validateArgs } from "../../../src/host/args-file.ts";
import { updateEnv, validateEnv } from "../../../src/host/env-file.ts";

describe("a line of an argument file", () => {
  test.each([
    ['--v="2"', "--v", "2"],
    ["--v=2", "--v", "2"],
    ["--v 2", "--v", "2"],
    ["  --v  2  ", "--v", "2"],
    ['--a="b=c d"', "--a", "b=c d"],
    ['--a=" b "', "--a", " b "],
    ['--a=""b""', "--a", "b"],
    ['--a=""', "--a", ""],
    ["--a=", "--a", ""],
    ["--a", "--a", undefined],
  ])("%s is read as the format says", (line, key, value) => {
    expect(parseArgLine(line)).toEqual({ key, value });
  });

  test.each(["", "   ", "# --a=b"])("%j is no argument", (line) => {
    expect(parseArgLine(line)).toBeUndefined();
  });
});

describe("an update", () => {
  test("rewrites the lines it names, keeps the others as they stand, and sorts by bytes", () => {
    const before = "--b  old form\n--a=1\n--Z 'quoted'\n";
    const after = updateArgs(before, { set: { "--a": "2", "--c": "x y" }, remove: ["--none"] });
    expect(after).toEqual({ text: `--Z 'quoted'\n--a="2"\n--b  old form\n--c="x y"\n`, changed: true });
  });

  test("drops what is to be removed", () => {
    expect(updateArgs('--a="1"\n--b="2"\n', { set: {}, remove: ["--a"] })).toEqual({
      text: '--b="2"\n',
      changed: true,
    });
  });

  test("with the values that are there already is no change, whatever the form of the line", () => {
    expect(updateArgs("--a 1\n", { set: { "--a": "1" }, remove: [] }).changed).toBe(false);
  });

  test("leaves one line of a flag that stood there twice, so that the second cannot win", () => {
    const after = updateArgs('--a="1"\n--a="9"\n', { set: { "--a": "1" }, remove: [] });
    expect(after).toEqual({ text: '--a="1"\n', changed: true });
  });

  test.each(["", "a b", "$(touch x)", "`id`", "*", `{"a":"b"}`, "a'b", "=", "x=y", " edge ", "ü", "\\"])(
    "value %j is read back as it was written",
    (value) => {
      const { text } = updateArgs("", { set: { "--flag": value }, remove: [] });
      expect(parseArgs(text).get("--flag")).toBe(value);
    },
  );
});

describe("validation", () => {
  test.each([
    ["v", "2", "does not start with --"],
    ["--", "2", "may hold letters"],
    ["--a b", "2", "may hold letters"],
    ["--a=b", "2", "may hold letters"],
    ["--a\n--b", "2", "may hold letters"],
    ["--a", "1\n--b=2", "line break"],
    ["--a", "1\r", "line break"],
    ["--a", "1\0", "NUL"],
    ["--a", '"quoted"', "double quote"],
    ["--a", "x".repeat(200_000), "128 KiB"],
  ])("%j with value %j is refused and the reason given", (flag, value, reason) => {
    expect(() => validateArgs("kubelet", { [flag]: value })).toThrow(
      expect.objectContaining({
        kind: "invalid",
        field: flag,
        message: expect.stringContaining(reason),
        remedy: expect.any(String),
      }),
    );
  });

  test("an environment name or value that would add a line is refused", () => {
    expect(() => validateEnv("kubelet", { "A B": "c" })).toThrow(
      expect.objectContaining({ kind: "invalid", field: "A B" }),
    );
    expect(() => validateEnv("kubelet", { A: "c\nB=d" })).toThrow(
      expect.objectContaining({ kind: "invalid", field: "A" }),
    );
  });
});

test("an environment file keeps its user's lines and gets ours", () => {
  const after = updateEnv("# proxy\nHTTP_PROXY=http://p\nOLD=1\nA=0\n", { set: { A: "b c" }, remove: ["OLD"] });
  expect(after).toEqual({ text: "# proxy\nHTTP_PROXY=http://p\nA=b c\n", changed: true });
  expect(updateEnv(after.text, { set: { A: "b c" }, remove: ["OLD"] })).toEqual({ text: after.text, changed: false });
});
