import { describe, expect, test } from "vitest";
import { movedInput, newAddress } from "../../../src/cluster/address/prepare.ts";
import type { NetworkInterface } from "../../../src/host/host.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const nic = (name: string, ...addresses: string[]): NetworkInterface => ({
  name,
  addresses: addresses.map((address) => ({
    address,
    family: address.includes(":") ? (6 as const) : (4 as const),
    prefix: 24,
    internal: name === "lo",
  })),
});
const loopback = nic("lo", "127.0.0.1");
/** Its address is 192.0.2.10. */
const before = aBootstrapInput({ kubernetes: true });
const host = (...interfaces: NetworkInterface[]) => ({
  hostname: before.view.hostname,
  interfaces: () => [loopback, ...interfaces],
});

describe("a node with another address", () => {
  test("has it, and keeps its name, its port and all else", () => {
    const after = movedInput(before, "198.51.100.7", host(nic("eth0", "198.51.100.7")));
    expect(after).toEqual({
      ...before,
      view: { ...before.view, addresses: ["198.51.100.7"], k8sdAddress: "198.51.100.7:6400" },
    });
  });

  test.each([
    ["198.51.100.7:7000", "198.51.100.7:7000", ["198.51.100.7", "2001:db8::7"]],
    ["198.51.100.0/24", "198.51.100.7:6400", ["198.51.100.7", "2001:db8::7"]],
    ["2001:db8::7", "[2001:db8::7]:6400", ["2001:db8::7", "198.51.100.7"]],
    ["[2001:db8::7]:7000", "[2001:db8::7]:7000", ["2001:db8::7", "198.51.100.7"]],
  ])("as %s is reached at %s, with the other family of its interface", (text, k8sdAddress, addresses) => {
    const after = movedInput(before, text, host(nic("eth0", "198.51.100.7", "2001:db8::7")));
    expect(after?.view).toMatchObject({ k8sdAddress, addresses });
  });

  test("keeps a port that is not the usual one", () => {
    const odd = { ...before, view: { ...before.view, k8sdAddress: "192.0.2.10:7777" } };
    const after = movedInput(odd, "198.51.100.7", host(nic("eth0", "198.51.100.7")));
    expect(after?.view.k8sdAddress).toBe("198.51.100.7:7777");
  });

  test("is nothing to do where it has it already, unless its host was renamed", () => {
    const same = host(nic("eth0", "192.0.2.10"));
    expect(movedInput(before, "192.0.2.10", same)).toBeUndefined();
    expect(movedInput(before, "192.0.2.10", { ...same, hostname: "renamed" })?.view).toMatchObject({
      name: "n1",
      hostname: "renamed",
      addresses: ["192.0.2.10"],
    });
  });

  test("is refused where no interface has the address", () => {
    expect(() => movedInput(before, "203.0.113.1", host(nic("eth0", "198.51.100.7")))).toThrow(/no network interface/);
  });
});

describe("after a start", () => {
  const wide = nic("eth1", "203.0.113.5");
  const out = nic("eth0", "198.51.100.7", "2001:db8::7");

  test.each<[string, NetworkInterface[], string[], unknown]>([
    ["has its address: nothing is taken", [nic("eth0", "192.0.2.10"), wide], ["eth1"], undefined],
    ["has none of that family: nothing is taken", [nic("eth0", "2001:db8::7")], ["eth0"], undefined],
    ["the way out has one: that", [wide, out], ["eth0"], { address: "198.51.100.7", certain: true }],
    ["no way out yet: another one, but not for certain", [wide], [], { address: "203.0.113.5", certain: false }],
    ["pods' bridges alone: nothing is taken", [nic("cni0", "10.1.0.1")], ["cni0"], undefined],
  ])("a node that %s", (_name, interfaces, routes, found) => {
    expect(newAddress(before, [loopback, ...interfaces], routes)).toEqual(found);
  });
});

describe("a node of two families, after a start", () => {
  const dual = { ...before, view: { ...before.view, addresses: ["192.0.2.10", "2001:db8::10"] } };
  const look = (...addresses: string[]) => newAddress(dual, [loopback, nic("eth0", ...addresses)], ["eth0"]);

  test("keeps what it has while it has both, however many there are besides", () => {
    expect(look("192.0.2.10", "2001:db8::10")).toBeUndefined();
    expect(look("192.0.2.10", "2001:db8::99", "2001:db8::10")).toBeUndefined();
  });

  test("keeps its first and takes another second one; that one is gone only when it stays away", () => {
    expect(look("192.0.2.10", "2001:db8::99")).toEqual({ address: "192.0.2.10", certain: true });
    const moved = movedInput(dual, "192.0.2.10", host(nic("eth0", "192.0.2.10", "2001:db8::99")));
    expect(moved?.view).toMatchObject({
      k8sdAddress: "192.0.2.10:6400",
      addresses: ["192.0.2.10", "2001:db8::99"],
    });
    expect(look("192.0.2.10")).toEqual({ address: "192.0.2.10", certain: false });
    expect(movedInput(dual, "192.0.2.10", host(nic("eth0", "192.0.2.10")))?.view.addresses).toEqual(["192.0.2.10"]);
  });

  test("takes both when both are others, and its first family stays the first", () => {
    expect(look("198.51.100.7", "2001:db8::99")).toEqual({ address: "198.51.100.7", certain: true });
    const moved = movedInput(dual, "198.51.100.7", host(nic("eth0", "2001:db8::99", "198.51.100.7")));
    expect(moved?.view.addresses).toEqual(["198.51.100.7", "2001:db8::99"]);
  });

  test("is asked for the other family first, and is then reached there", () => {
    const moved = movedInput(dual, "2001:db8::10", host(nic("eth0", "192.0.2.10", "2001:db8::10")));
    expect(moved?.view).toMatchObject({
      k8sdAddress: "[2001:db8::10]:6400",
      addresses: ["2001:db8::10", "192.0.2.10"],
    });
  });
});
