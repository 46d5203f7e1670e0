import { describe, expect, test } from "vitest";
import { parseEndpoints } from "../../../src/apiserver-proxy/endpoints-file.ts";
import { parseProxyOptions } from "../../../src/apiserver-proxy/options.ts";

describe("the endpoints file", () => {
  test("gives each address once, in order", () => {
    const text = '{"endpoints":["10.0.0.2:6443","[fd00::1]:16443","10.0.0.1:6443","10.0.0.2:6443"]}';
    expect(parseEndpoints(text)).toEqual([
      { host: "10.0.0.1", port: 6443, text: "10.0.0.1:6443" },
      { host: "10.0.0.2", port: 6443, text: "10.0.0.2:6443" },
      { host: "fd00::1", port: 16443, text: "[fd00::1]:16443" },
    ]);
  });

  test("marks those whose nodes are away; others that it names so are nothing", () => {
    const text = '{"endpoints":["10.0.0.2:6443","10.0.0.1:6443"],"away":["10.0.0.2:6443","10.0.0.9:6443",7]}';
    expect(parseEndpoints(text)).toEqual([
      { host: "10.0.0.1", port: 6443, text: "10.0.0.1:6443" },
      { host: "10.0.0.2", port: 6443, text: "10.0.0.2:6443", away: true },
    ]);
  });

  test.each([
    ["empty list of endpoints", '{"endpoints":[]}'],
    ["no JSON", ""],
    ["no JSON", '{"endpoints":["10.0'],
    ["no list", "null"],
    ["no list", '{"endpoints":"10.0.0.1:6443"}'],
    ["no ip:port", '{"endpoints":["host:6443"]}'],
    ["no ip:port", '{"endpoints":["10.0.0.1"]}'],
    ["no ip:port", '{"endpoints":["10.0.0.1:0"]}'],
    ["no ip:port", '{"endpoints":["10.0.0.1:65536"]}'],
    ["no ip:port", '{"endpoints":["fd00::1:6443"]}'],
    ["no ip:port", '{"endpoints":["[10.0.0.1]:6443"]}'],
    ["no ip:port", '{"endpoints":[7]}'],
    ["more than 64", JSON.stringify({ endpoints: Array.from({ length: 65 }, (_, index) => `10.0.0.1:${index + 1}`) })],
    ["too long", " ".repeat(70_000)],
  ])("is refused with '%s': %.50s", (reason, text) => {
    expect(() => parseEndpoints(text)).toThrow(reason);
  });
});

describe("the flags", () => {
  test("have the contract's defaults", () => {
    expect(parseProxyOptions([])).toEqual({
      listen: { port: 6443 },
      endpointsFile: "/etc/kubernetes/k8s-apiserver-proxy.json",
      refreshMs: 30_000,
      logLevel: "info",
    });
  });

  test.each([
    [["--listen=127.0.0.1:16443"], { listen: { host: "127.0.0.1", port: 16443 } }],
    [["--listen", "[::1]:16443"], { listen: { host: "::1", port: 16443 } }],
    [["--endpoints=/e.json", "--kubeconfig=/k.conf"], { endpointsFile: "/e.json" }],
    [["--refresh-interval=0"], { refreshMs: 0 }],
    [["--refresh-interval=0s"], { refreshMs: 0 }],
    [["--refresh-interval=1s"], { refreshMs: 15_000 }],
    [["--refresh-interval=1m30s"], { refreshMs: 90_000 }],
  ])("%j", (argv, expected) => {
    expect(parseProxyOptions(argv)).toMatchObject(expected);
  });

  test.each([
    [["--listen=6443"], "--listen"],
    [["--listen=:70000"], "--listen"],
    [["--refresh-interval=often"], "--refresh-interval"],
    [["--color"], "unknown or incomplete flag"],
  ])("%j is refused by name", (argv, named) => {
    expect(() => parseProxyOptions(argv)).toThrow(named);
  });
});
