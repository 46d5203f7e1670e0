import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { formatJson } from "../../src/format/json.ts";
import { formatYaml, PlainScalar } from "../../src/format/yaml.ts";

describe("YAML output", () => {
  test("lists stand below their key without indentation, and empty ones beside it", () => {
    const value = { a: [{ b: "x", c: ["y", "z"] }, { b: "w" }], d: [], e: {}, f: undefined, g: { h: null, i: 3 } };
    expect(formatYaml(value)).toBe('a:\n- b: x\n  c:\n  - "y"\n  - z\n- b: w\nd: []\ne: {}\ng:\n  h: null\n  i: 3\n');
  });

  test.each([
    ["", '""'],
    ["yes", '"yes"'],
    ["1.16", '"1.16"'],
    ["0x1f", '"0x1f"'],
    ["2026-08-21", '"2026-08-21"'],
    ["12:30", '"12:30"'],
    ["null", '"null"'],
    ["v1.36.0", "v1.36.0"],
    ["10.0.0.1:6400", "10.0.0.1:6400"],
    ["[2001:db8::1]:6400", "'[2001:db8::1]:6400'"],
    ["it's: so", "'it''s: so'"],
    ["a # b", "'a # b'"],
    ["-x", "-x"],
    ["- x", "'- x'"],
    ["tab\there", '"tab\\there"'],
    ["two\nlines", "|-\n  two\n  lines"],
    ["two\nlines\n", "|\n  two\n  lines"],
  ])("%j is written as %s and read back as itself", (text, written) => {
    const yaml = formatYaml({ key: text });
    expect(yaml).toBe(`key: ${written}\n`);
    expect(parse(yaml, { version: "1.1" })).toEqual({ key: text });
  });

  test("a time stays without quotes", () => {
    expect(formatYaml({ at: new PlainScalar("2026-08-21T10:00:00Z") })).toBe("at: 2026-08-21T10:00:00Z\n");
  });
});

test("JSON output escapes what Go's encoder escapes", () => {
  expect(formatJson({ a: "<b> & \u2028", list: [], map: {} })).toBe(
    '{\n  "a": "\\u003cb\\u003e \\u0026 \\u2028",\n  "list": [],\n  "map": {}\n}\n',
  );
});
