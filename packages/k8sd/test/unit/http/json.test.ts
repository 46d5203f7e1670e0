import { bootstrapRequest, refreshCertificatesRunRequest, revokeAuthTokenRequest } from "@k8sd/api-types";
import { describe, expect, test } from "vitest";
import { decode } from "../../../src/http/body.ts";
import { parseFirstJson, toJson } from "../../../src/http/json.ts";

describe("first JSON value", () => {
  test.each([
    ['{"a": "}{"} trailing', { a: "}{" }],
    [' \n[1, [2], "]"] [3]', [1, [2], "]"]],
    ['"a\\"b" {}', 'a"b'],
    ["null null", null],
    ["12 13", 12],
    ["true,false", true],
  ])("of %j", (text, expected) => {
    expect(parseFirstJson(text)).toEqual(expected);
  });

  test.each([
    ["", "EOF"],
    [" \n\t ", "EOF"],
    ['{"a":', "unexpected EOF"],
    ['"abc', "unexpected EOF"],
    ["}", "invalid character '}' looking for beginning of value"],
    ["[".repeat(201), "exceeded max depth"],
  ])("of %j is an error", (text, message) => {
    expect(() => parseFirstJson(text)).toThrow(message);
  });

  test("integers keep every digit, on the way in and out", () => {
    const text =
      '{"seed":9223372036854775806,"small":5,"exact":9007199254740991,"minus":-9223372036854775808,"text":"9223372036854775806"}';
    const value = parseFirstJson(text);
    expect(value).toEqual({
      seed: 9223372036854775806n,
      small: 5,
      exact: 9007199254740991,
      minus: -9223372036854775808n,
      text: "9223372036854775806",
    });
    expect(toJson(value)).toBe(text);
  });
});

describe("decoding", () => {
  test.each([
    ["{}", { name: "", address: "", config: {}, timeout: 0 }],
    ["null", { name: "", address: "", config: {}, timeout: 0 }],
    [
      '{"NAME": "n", "Config": {"POD-CIDR": "x", "ca-crt": null}}',
      { name: "n", address: "", config: { "pod-cidr": "x" }, timeout: 0 },
    ],
    ['{"timeout": 90000000000}', { name: "", address: "", config: {}, timeout: 90_000_000_000 }],
  ])("%s", (body, expected) => {
    expect(decode(bootstrapRequest, body, true)).toEqual(expected);
  });

  test.each([
    ["", "failed to parse request: EOF"],
    ['{"x": 1}', 'failed to parse request: json: unknown field "x"'],
    ['{"config": {"pod_cidr": ""}}', 'failed to parse request: json: unknown field "pod_cidr" (at "config.pod_cidr")'],
    ['{"name": 5}', 'failed to parse request: json: cannot use the value of field "name": '],
    ['{"timeout": 1.5}', 'failed to parse request: json: cannot use the value of field "timeout": '],
    ["[]", "failed to parse request: json: cannot use the value of the body: "],
    ["{", "failed to parse request: unexpected EOF"],
  ])("%j is refused", (body, message) => {
    expect(() => decode(bootstrapRequest, body, true)).toThrow(
      expect.objectContaining({ kind: "invalid", message: expect.stringContaining(message) }),
    );
  });

  test("an endpoint that is not strict drops what it does not know", () => {
    expect(decode(revokeAuthTokenRequest, '{"token": "t", "more": 1}', false)).toEqual({ token: "t" });
  });

  test("a seed of 63 bits arrives whole", () => {
    expect(decode(refreshCertificatesRunRequest, '{"seed": 9223372036854775806}', true).seed).toBe(
      9223372036854775806n,
    );
  });
});
