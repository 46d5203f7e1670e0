import { describe, expect, expectTypeOf, test } from "vitest";
import { contractEndpoints } from "../../src/endpoints-contract.ts";
import {
  type BootstrapConfig,
  bootstrapConfig,
  bootstrapRequest,
  endpoints,
  type NodeStatus,
  type RequestOf,
  type ResponseOf,
  refreshCertificatesRunRequest,
} from "../../src/index.ts";

const all = Object.entries(endpoints);

describe("endpoint table", () => {
  test("holds the contract's 26 endpoints under /1.0 and each pair of method and path once", () => {
    const contract = Object.values(contractEndpoints).filter(({ path }) => path.startsWith("/1.0/"));
    expect(contract).toHaveLength(26);
    expect(new Set(all.map(([, e]) => `${e.method} ${e.path}`)).size).toBe(all.length);
  });

  test("only what must work on a fresh node works before bootstrap", () => {
    expect(all.filter(([, e]) => e.beforeInit).map(([name]) => name)).toEqual([
      "clusterStatus",
      "bootstrap",
      "join",
      "root",
      "serverStatus",
      "serverReady",
      "listSnapshots",
      "fetchSnapshot",
      "planRestore",
      "restoreSnapshot",
      "listOperations",
      "getOperation",
      "cancelOperation",
    ]);
  });

  test("only those take unknown keys whose callers are others' programs, and all that take anyone are known", () => {
    expect(all.filter(([, e]) => !e.strict).map(([name]) => name)).toEqual([
      "createAuthToken",
      "revokeAuthToken",
      "reviewToken",
      "setCapiAuthToken",
      "reviewNodeAccess",
    ]);
    expect(all.filter(([, e]) => e.access === "anyone").map(([name]) => name)).toEqual([
      "reviewToken",
      "root",
      "serverStatus",
      "reviewNodeAccess",
      // The secret of a token, or a member's key, is asked for by the endpoint itself.
      "reserveMember",
      "prepareMember",
      "memberStanding",
      "advanceMember",
      "moveMember",
      "sealKeys",
    ]);
  });

  test("types of requests and responses follow from the table", () => {
    expectTypeOf<RequestOf<"localNode">>().toEqualTypeOf<undefined>();
    expectTypeOf<RequestOf<"kubeconfig">>().toEqualTypeOf<{ server: string }>();
    expectTypeOf<RequestOf<"bootstrap">["config"]>().toEqualTypeOf<BootstrapConfig | string>();
    expectTypeOf<ResponseOf<"bootstrap">>().toEqualTypeOf<NodeStatus>();
  });
});

describe("requests", () => {
  test("absent fields have Go's zero values", () => {
    expect(bootstrapRequest.parse({})).toEqual({ name: "", address: "", config: {}, timeout: 0 });
  });

  test("a seed keeps all of its 63 bits", () => {
    expect(refreshCertificatesRunRequest.parse({ seed: 9223372036854775806n }).seed).toBe(9223372036854775806n);
    expect(refreshCertificatesRunRequest.parse({ seed: 5 }).seed).toBe(5n);
    expect(refreshCertificatesRunRequest.safeParse({ seed: 2n ** 63n }).success).toBe(false);
  });

  test.each([
    ["a string", { "pod-cidr": "1".repeat(4097) }],
    ["a list", { "extra-sans": Array.from({ length: 1025 }, () => "a") }],
    [
      "a map",
      { "extra-node-kubelet-args": Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`--${i}`, "1"])) },
    ],
    ["a key", { "ca-key": "x".repeat(64 * 1024 + 1) }],
  ])("%s has a limit", (_what, config) => {
    expect(bootstrapConfig.safeParse(config).success).toBe(false);
  });
});
