import { describe, expect, test } from "vitest";
import { firstServiceAddress, nodeSubnet } from "../../../src/cluster/config/subnets.ts";

describe("what is taken out of a range", () => {
  test.each([
    ["10.152.183.0/24", "10.152.183.1"],
    ["10.152.183.7/24", "10.152.183.1"],
    ["fd98::/108", "fd98::1"],
  ])("the kubernetes Service of %s has %s", (cidr, address) => {
    expect(firstServiceAddress(cidr)).toBe(address);
  });

  test.each([
    ["10.1.0.0/16", 0, "10.1.0.0/24"],
    ["10.1.0.0/16", 255, "10.1.255.0/24"],
    ["10.255.0.0/15", 1, "10.254.1.0/24"],
    ["10.1.4.0/26", 0, "10.1.4.0/26"],
    ["fd01::/108", 0, "fd01::/120"],
    ["fd01::/108", 2, "fd01::200/120"],
  ])("of %s node %d hands out %s", (cidr, index, subnet) => {
    expect(nodeSubnet(cidr, index)).toBe(subnet);
  });
});
