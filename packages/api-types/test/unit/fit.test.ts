import { describe, expect, test } from "vitest";
import { bootstrapRequest, fit, nearest, userFacingClusterConfig } from "../../src/index.ts";

describe("fit", () => {
  test("finds keys whatever their case, and the exact one wins", () => {
    expect(fit(userFacingClusterConfig, { DNS: { Enabled: true } }).value).toEqual({ dns: { enabled: true } });
    const both = { dns: { ENABLED: false, enabled: true } };
    expect(fit(userFacingClusterConfig, both).value).toEqual({ dns: { enabled: true } });
  });

  test("null is absent where the schema knows no null, and stays where it does", () => {
    const config = { network: { enabled: null, "kube-proxy-enabled": null }, dns: null };
    expect(fit(userFacingClusterConfig, config).value).toEqual({ network: { "kube-proxy-enabled": null } });
    const args = { config: { "extra-node-kubelet-args": { "--a": null, "--B": "1" } } };
    expect(fit(bootstrapRequest, args).value).toEqual(args);
  });

  test("reports unknown keys with their path and the nearest known one", () => {
    const { value, unknown } = fit(bootstrapRequest, {
      config: { "cluster-config": { dns: { enabld: true } } },
      zz: 1,
    });
    expect(value).toEqual({ config: { "cluster-config": { dns: {} } } });
    expect(unknown).toEqual([
      { key: "enabld", path: "config.cluster-config.dns.enabld", suggestion: "enabled" },
      { key: "zz", path: "zz", suggestion: undefined },
    ]);
  });

  test("keys named like members of Object are only keys", () => {
    const { unknown } = fit(userFacingClusterConfig, JSON.parse('{"__proto__": {"a": 1}, "constructor": 1}'));
    expect(unknown.map((u) => u.key)).toEqual(["__proto__", "constructor"]);
    const map = fit(userFacingClusterConfig, JSON.parse('{"annotations": {"__proto__": "x"}}')).value;
    expect(JSON.stringify(map)).toBe('{"annotations":{"__proto__":"x"}}');
  });
});

test.each([
  ["service_cidr", "service-cidr"],
  ["pod-cdir", "pod-cidr"],
  ["completely-else", undefined],
])("nearest key to %s is %s", (key, expected) => {
  expect(nearest(key, ["pod-cidr", "service-cidr", "secure-port"])).toBe(expected);
});
