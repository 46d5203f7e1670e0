import { describe, expect, test } from "vitest";
import { createSetAddress, type SetAddressDeps } from "../../../src/cluster/address/address.ts";
import { hintedMembers } from "../../../src/cluster/address/hints.ts";
import type { KnownMember } from "../../../src/cluster/roster.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const member = (name: string, addresses: readonly string[], k8sdAddress: string): KnownMember => ({
  id: `id of ${name}`,
  name,
  role: "control-plane",
  state: "active",
  addresses,
  k8sdAddress,
  publicKeyFingerprint: "",
  podCidrs: [],
  changedAt: 0,
});

describe("what a person says of where another member is now", () => {
  const known = [
    member("n1", ["10.0.0.1"], "10.0.0.1:6400"),
    member("n2.lan", ["10.0.0.2", "fd00::2"], "10.0.0.2:7000"),
  ];
  const hint = (name: string, address: string) => hintedMembers(known, { [name]: address }, "id of n1")[0];

  test.each([
    ["n2.lan", "10.9.0.2", ["10.9.0.2", "fd00::2"], "10.9.0.2:7000"],
    ["N2.LAN", "10.9.0.2:6400", ["10.9.0.2", "fd00::2"], "10.9.0.2:6400"],
    ["n2.lan", "FD00:0::9", ["fd00::9", "10.0.0.2"], "[fd00::9]:7000"],
    ["n2.lan", "[fd00::9]", ["fd00::9", "10.0.0.2"], "[fd00::9]:7000"],
    ["n2.lan", "[fd00::9]:6400", ["fd00::9", "10.0.0.2"], "[fd00::9]:6400"],
  ])("%s=%s is its first address, beside that of the other family", (name, address, addresses, k8sdAddress) => {
    expect(hint(name, address)).toMatchObject({ id: "id of n2.lan", addresses, k8sdAddress });
  });

  test.each([
    ["n2.lan", "n2.new.lan", /"n2.new.lan" is no IP address/, "Give n2.lan=IP, or n2.lan=IP:PORT"],
    ["n2.lan", "10.9.0.300", /"10.9.0.300" is no IP address/, "n2.lan=IP"],
    ["n2.lan", "10.9.0.2:0", /"10.9.0.2:0" is no IP address/, "n2.lan=IP"],
    ["n2.lan", "10.9.0.2:70000", /"10.9.0.2:70000" is no IP address/, "n2.lan=IP"],
    ["n2.lan", "fe80::1%eth0", /is no IP address/, "n2.lan=IP"],
    ["n2.lan", "10.9.0.0/24", /is no IP address/, "n2.lan=IP"],
    ["n9", "10.9.0.2", /no member has this name/, "The members are n1, n2.lan."],
    ["n1", "10.9.0.1", /that is this node/, "Run 'k8s set-address 10.9.0.1'."],
  ])("%s=%s is refused with the reason and what to do", (name, address, message, remedy) => {
    const refused = expect.objectContaining({ field: "peer", message: expect.stringMatching(message) });
    expect(() => hint(name, address)).toThrow(refused);
    expect(() => hint(name, address)).toThrow(expect.objectContaining({ remedy: expect.stringContaining(remedy) }));
  });
});

test("an address that this host does not have is refused before anything is noted of others", () => {
  const known = [member("n1", ["10.0.0.1"], "10.0.0.1:6400"), member("n2", ["10.0.0.2"], "10.0.0.2:6400")];
  const replaced: unknown[] = [];
  const deps = {
    host: { interfaces: () => [] },
    member: () => ({ id: "id of n1", clusterId: "c", view: aBootstrapInput({ kubernetes: false }) }),
    runner: { find: () => undefined },
    roster: { members: () => known, replace: (members: unknown) => replaced.push(members) },
    audit: { record: () => {} },
  } as unknown as SetAddressDeps;
  const order = { address: "10.9.0.1", peers: { n2: "10.9.0.2" }, timeoutMs: 0 };
  const caller = { actor: "root", source: "unix" };
  expect(() => createSetAddress(deps).setAddress(order, { requestId: "r", caller })).toThrow(/10\.9\.0\.1/);
  expect(replaced).toEqual([]);
});
