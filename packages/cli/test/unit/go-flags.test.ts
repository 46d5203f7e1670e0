import { describe, expect, test } from "vitest";
import { resolveBooleanFlags } from "../../src/go-flags.ts";

const resolve = (...argv: string[]) => resolveBooleanFlags(argv, new Set(["--wait-ready"]), new Set(["kubectl"]));

describe("boolean flags with a value", () => {
  test.each([
    ["true", ["status", "--wait-ready"]],
    ["1", ["status", "--wait-ready"]],
    ["F", ["status"]],
    ["false", ["status"]],
  ])("=%s", (value, argv) => {
    expect(resolve("status", `--wait-ready=${value}`)).toEqual({ ok: true, argv });
  });

  test("other flags and what belongs to another program stay", () => {
    const argv = ["--file=true", "kubectl", "--wait-ready=x"];
    expect(resolve(...argv)).toEqual({ ok: true, argv });
    expect(resolve("--", "--wait-ready=x")).toEqual({ ok: true, argv: ["--", "--wait-ready=x"] });
  });

  test("what is no truth value is refused with Go's words", () => {
    expect(resolve("--wait-ready=perhaps")).toEqual({
      ok: false,
      message:
        'invalid argument "perhaps" for "--wait-ready" flag: strconv.ParseBool: parsing "perhaps": invalid syntax',
    });
  });
});
