import { describe, expect, test } from "vitest";
import { nodeIps, parseAddress } from "../../../src/cluster/config/address.ts";
import { contains, parseCidr, parseIp } from "../../../src/cluster/config/cidr.ts";
import { cleanHostname } from "../../../src/cluster/config/hostname.ts";
import type { NetworkInterface } from "../../../src/host/host.ts";

const v4 = (address: string, internal = false) => ({ address, family: 4 as const, prefix: 24, internal });
const v6 = (address: string, internal = false) => ({ address, family: 6 as const, prefix: 64, internal });
const interfaces: readonly NetworkInterface[] = [
  { name: "lo", addresses: [v4("127.0.0.1", true), v6("::1", true)] },
  { name: "cni0", addresses: [v4("10.1.0.1")] },
  { name: "eth0", addresses: [v6("fe80::1"), v4("10.0.0.5"), v6("2001:db8::5")] },
  { name: "eth1", addresses: [v4("192.168.1.5")] },
];

describe("--address", () => {
  test.each([
    ["", "10.0.0.5:6400"],
    ["10.0.0.5", "10.0.0.5:6400"],
    ["10.0.0.0/24", "10.0.0.5:6400"],
    ["192.168.0.0/16", "192.168.1.5:6400"],
    ["10.0.0.5:2380", "10.0.0.5:2380"],
    ["10.0.0.0/24:2380", "10.0.0.5:2380"],
    [":2380", "10.0.0.5:2380"],
    ["[2001:db8::/32]:8080", "[2001:db8::5]:8080"],
    ["2001:db8::/32", "[2001:db8::5]:6400"],
    ["2001:db8::5", "[2001:db8::5]:6400"],
    ["[2001:db8::5]", "[2001:db8::5]:6400"],
    ["2001:DB8:0::5", "[2001:db8::5]:6400"],
    ["[2001:0db8:0:0::5]:2380", "[2001:db8::5]:2380"],
  ])("%j is %s", (text, expected) => {
    expect(parseAddress(text, interfaces).text).toBe(expected);
  });

  test.each([
    ["172.16.0.0/12", 'could not find a matching address for CIDR "172.16.0.0/12"'],
    ["127.0.0.0/8", 'could not find a matching address for CIDR "127.0.0.0/8"'],
    ["10.0.0.0/99", 'could not find a matching address for CIDR "10.0.0.0/99"'],
    ["10.0.0.5:65536", "invalid port number 65536"],
    ["10.0.0.5:-1", "invalid port number -1"],
    ["10.0.0.5:0", "invalid port number 0"],
    [":0", "invalid port number 0"],
    ["10.0.0.5:http", "invalid port number http"],
    ["node.example.com", 'failed to parse node IP address "node.example.com"'],
  ])("%j is refused", (text, message) => {
    expect(() => parseAddress(text, interfaces)).toThrow(
      expect.objectContaining({ kind: "invalid", field: "address", message: expect.stringContaining(message) }),
    );
  });

  test("without any usable interface says so", () => {
    expect(() => parseAddress("", interfaces.slice(0, 2))).toThrow("could not find a usable address");
  });
});

describe("addresses of the node", () => {
  test("are the chosen one and that of the other family on the same interface", () => {
    expect(nodeIps("10.0.0.5", interfaces)).toEqual(["10.0.0.5", "2001:db8::5"]);
    expect(nodeIps("2001:0db8::0:5", interfaces)).toEqual(["2001:0db8::0:5", "10.0.0.5"]);
    expect(nodeIps("192.168.1.5", interfaces)).toEqual(["192.168.1.5"]);
  });

  test("must be the host's", () => {
    expect(() => nodeIps("10.0.0.6", interfaces)).toThrow("no network interface of this host has it");
  });
});

describe("host names", () => {
  test.each([
    ["node-1", "node-1"],
    ["Node-1.Example.COM", "node-1.example.com"],
    ["1", "1"],
    ["0x7f", "0x7f"],
    ["bücher", "xn--bcher-kva"],
    ["BÜCHER.example", "xn--bcher-kva.example"],
  ])("%s becomes %s", (given, expected) => {
    expect(cleanHostname(given)).toBe(expected);
  });

  test.each([
    "",
    "node.",
    "no_de",
    "-node",
    "node-",
    "a..b",
    "no de",
    "a/b",
    "a%41",
    "ü%2e",
    "x".repeat(64),
    `${"a.".repeat(127)}ab`,
    "ü_a",
  ])("%j is refused", (given) => {
    expect(() => cleanHostname(given)).toThrow(
      expect.objectContaining({
        kind: "invalid",
        message: expect.stringContaining(`invalid hostname ${JSON.stringify(given)}: `),
      }),
    );
  });
});

test.each([
  ["10.1.0.0/16", "10.1.255.255", true],
  ["10.1.0.0/16", "10.2.0.0", false],
  ["0.0.0.0/0", "255.255.255.255", true],
  ["2001:db8::/32", "2001:db8:ffff::1", true],
  ["2001:db8::/32", "2001:db9::", false],
  ["::ffff:10.0.0.0/104", "::ffff:10.1.2.3", true],
  ["10.0.0.0/8", "::ffff:10.1.2.3", false],
  ["10.0.0.0/8", "::10.1.2.3", false],
])("%s contains %s: %s", (cidr, ip, expected) => {
  const range = parseCidr(cidr);
  const address = parseIp(ip);
  expect(range !== undefined && address !== undefined && contains(range, address)).toBe(expected);
});
