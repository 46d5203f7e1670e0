import { describe, expect, test } from "vitest";
import { decodeJoinToken, encodeJoinToken } from "../../../src/cluster/tokens-encoding.ts";
import {
  hasFreeUse,
  type JoinTokenRecord,
  refusal,
  staleHolds,
  tokenState,
  withHold,
  withoutHold,
} from "../../../src/cluster/tokens-rules.ts";
import { createThrottle } from "../../../src/cluster/tokens-throttle.ts";
import { errorText } from "../../../src/lib/app-error.ts";

const fingerprint = "a1".repeat(32);
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("the text of a join token", () => {
  const cases = [
    [
      { role: "control-plane", secret: "0f".repeat(32), fingerprint, addresses: ["10.0.0.1:6400", "[fd00::1]:6400"] },
      `{"secret":"${"0f".repeat(32)}","fingerprint":"${fingerprint}","join_addresses":["10.0.0.1:6400","[fd00::1]:6400"]}`,
    ],
    [
      { role: "worker", secret: `worker::${"0f".repeat(20)}`, fingerprint, addresses: ["10.0.0.1:6400"] },
      `{"token":"","secret":"worker::${"0f".repeat(20)}","join_addresses":["10.0.0.1:6400"],"fingerprint":"${fingerprint}","_":"m!!"}`,
    ],
  ] as const;

  test.each(cases)("of a $role is the contract's to the byte", (ticket, json) => {
    const text = encodeJoinToken(ticket);
    expect(Buffer.from(text, "base64").toString()).toBe(json);
    expect(text).toBe(base64(json));
    expect(decodeJoinToken(`${text}\n`)).toEqual(ticket);
  });

  test("a fixed example", () => {
    expect(
      encodeJoinToken({ role: "worker", secret: "worker::00", fingerprint: "ff", addresses: ["1.2.3.4:6400"] }),
    ).toBe(
      "eyJ0b2tlbiI6IiIsInNlY3JldCI6Indvcmtlcjo6MDAiLCJqb2luX2FkZHJlc3NlcyI6WyIxLjIuMy40OjY0MDAiXSwiZmluZ2VycHJpbnQiOiJmZiIsIl8iOiJtISEifQ==",
    );
  });

  const whole = encodeJoinToken(cases[0][0]);
  test.each([
    ["", "it is empty"],
    ["not base64!", "it is not base64"],
    [whole.slice(0, -20), "a part may be missing"],
    [`${whole.slice(0, 20)} ${whole.slice(20)}`, "it is not base64"],
    [base64("[]"), "it holds no secret"],
    [base64("null"), "it is not what a token holds"],
    [base64('{"secret":"s","fingerprint":"zz","join_addresses":["a"]}'), "it holds no fingerprint"],
    [base64(`{"secret":"s","fingerprint":"${fingerprint}"}`), "empty list of control plane addresses"],
    [base64(`{"secret":"s","fingerprint":"${fingerprint}","join_addresses":[1]}`), "is not one"],
    ["A".repeat(70_000), "it is too long"],
  ])("%j is refused: %s", (text, reason) => {
    expect(() => decodeJoinToken(text)).toThrow(reason);
  });

  test("one that is damaged is refused without a letter of its secret", () => {
    const damaged = base64(JSON.stringify({ secret: "worker::5ec3e7" }).replace('"worker', "worker"));
    const refused = (): string => {
      try {
        decodeJoinToken(damaged);
        return "";
      } catch (error) {
        return errorText(error);
      }
    };
    expect(refused()).toMatch(/^cannot read the join token/);
    expect(refused()).not.toMatch(/worker|5ec3e7/);
  });
});

const token: JoinTokenRecord = {
  id: "0123456789ab",
  hash: "h",
  nonce: "n",
  role: "worker",
  name: "",
  cidrs: [],
  uses: 2,
  used: 0,
  holds: {},
  createdAt: 0,
  expiresAt: 1_000,
};
const claim = { role: "worker", name: "w1", source: "10.0.0.9" } as const;

describe("what a token allows", () => {
  test.each<[string, Partial<JoinTokenRecord>, number, string]>([
    ["a new one", {}, 999, "valid"],
    ["at its end", {}, 1_000, "expired"],
    ["with one use left", { used: 1 }, 0, "valid"],
    ["without one", { used: 2 }, 2_000, "used-up"],
    ["a revoked one", { revokedAt: 3, used: 2 }, 2_000, "revoked"],
  ])("%s", (_name, change, now, state) => {
    expect(tokenState({ ...token, ...change }, now)).toBe(state);
  });

  test.each<[Partial<JoinTokenRecord>, Partial<typeof claim>, string | undefined]>([
    [{}, {}, undefined],
    [{ name: "w1" }, {}, undefined],
    [{ name: "w2" }, {}, 'the token is for a node with the name "w2"'],
    [{ role: "control-plane" }, {}, "the token is for a control-plane node, not for a worker node"],
    [{ cidrs: ["10.0.0.0/24"] }, {}, undefined],
    [{ cidrs: ["fd00::/8", "10.0.0.0/24"] }, { source: "::ffff:10.0.0.9" as "10.0.0.9" }, undefined],
    [{ cidrs: ["10.0.1.0/24"] }, {}, "the token cannot be used from 10.0.0.9, only from 10.0.1.0/24"],
    [
      { cidrs: ["10.0.1.0/24"] },
      { source: "unix" as "10.0.0.9" },
      "the token cannot be used from unix, only from 10.0.1.0/24",
    ],
    [{ revokedAt: 1 }, {}, "the token was revoked"],
    [{ expiresAt: 5 }, {}, "the token expired at 1970-01-01T00:00:00.005Z"],
    [{ used: 2 }, {}, "the token is used up"],
  ])("%j for %j: %s", (change, who, reason) => {
    expect(refusal({ ...token, ...change }, { ...claim, ...who }, 10)).toBe(reason);
  });

  test("holds take uses until they are given back, and are stale at their end or when the token is revoked", () => {
    const held = withHold(withHold(token, "a", 50), "b", 90);
    expect(hasFreeUse(held)).toBe(false);
    expect(hasFreeUse(withoutHold(held, "a"))).toBe(true);
    expect(hasFreeUse({ ...withoutHold(held, "a"), used: 1 })).toBe(false);
    expect(staleHolds(held, 49)).toEqual([]);
    expect(staleHolds(held, 50)).toEqual(["a"]);
    expect(staleHolds({ ...held, revokedAt: 1 }, 0)).toEqual(["a", "b"]);
  });
});

describe("wrong secrets", () => {
  const options = { burst: 3, refillMs: 1_000, maxSources: 3 };
  function throttle() {
    let now = 0;
    const made = createThrottle(options, () => now);
    return { ...made, pass: (ms: number) => (now += ms), fail: (source: string) => made.failed(source) };
  }

  test("are refused above the burst, and one more is allowed after each interval", () => {
    const t = throttle();
    for (const expected of [0, 0, 0]) {
      expect(t.wait("10.0.0.1")).toBe(expected);
      t.fail("10.0.0.1");
    }
    expect(t.wait("10.0.0.1")).toBe(1_000);
    expect(t.wait("10.0.0.2")).toBe(0);
    t.pass(999);
    expect(t.wait("10.0.0.1")).toBe(1);
    t.pass(1);
    expect(t.wait("10.0.0.1")).toBe(0);
    t.fail("10.0.0.1");
    expect(t.wait("10.0.0.1")).toBe(1_000);
  });

  test.each([
    ["fd00::1", "fd00::ffff:2", true],
    ["fd00:0:0:1::1", "fd00:0:0:2::1", false],
    ["10.0.0.1", "::ffff:10.0.0.1", true],
    ["fe80::1%eth0", "fe80::2%eth1", true],
  ])("%s and %s count as one source: %s", (one, other, same) => {
    const t = throttle();
    for (let count = 0; count < 3; count += 1) t.fail(one);
    expect(t.wait(other) > 0).toBe(same);
  });

  test("only so many sources are remembered; the oldest is forgotten", () => {
    const t = throttle();
    for (let count = 0; count < 3; count += 1) t.fail("10.0.0.1");
    for (const source of ["10.0.0.2", "10.0.0.3"]) t.fail(source);
    expect(t.wait("10.0.0.1")).toBe(1_000);
    t.fail("10.0.0.4");
    expect(t.wait("10.0.0.1")).toBe(0);
  });
});
