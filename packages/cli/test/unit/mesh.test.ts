import type { MeshPeerStatus, MeshStatus } from "@k8sd/api-types";
import { expect, test } from "vitest";
import { meshOutput } from "../../src/format/mesh.ts";
import { render } from "../../src/format/output.ts";

const peer = (name: string, change: Partial<MeshPeerStatus> = {}): MeshPeerStatus => ({
  id: `id-of-${name}`,
  name,
  role: "worker",
  "peer-id": "12D3KooW",
  addresses: ["10.0.0.9:6401", "[fd00::9]:6401"],
  state: "alive",
  since: "2026-08-21T10:00:00.123Z",
  "last-contact": "2026-08-21T10:00:09.456Z",
  connected: true,
  "round-trip-ms": 0.42,
  ...change,
});
const status = (peers: MeshPeerStatus[]): MeshStatus => ({ running: true, replica: { epoch: 1, revision: 7 }, peers });
const plain = (value: MeshStatus) => render(meshOutput(value), "plain");

test("peers are a table, and below it is why some cannot be reached", async () => {
  const { "last-contact": _contact, "round-trip-ms": _roundTrip, ...silent } = peer("w10", { state: "dead" });
  const problem = { reason: "clock", detail: "the certificate is not valid yet" } as const;
  expect(await plain(status([peer("w1"), { ...silent, addresses: [], connected: false, problem }]))).toBe(
    [
      "NAME   ROLE     ADDRESS         STATE   LAST CONTACT           ROUND TRIP",
      "w1     worker   10.0.0.9:6401   alive   2026-08-21T10:00:09Z   0.42 ms",
      "w10    worker   none            dead    never                  -",
      "",
      "cannot be reached:",
      "  w10: one of the two clocks is wrong: the certificate is not valid yet",
      "",
    ].join("\n"),
  );
});

test("a node without peers, or without a mesh, says so", async () => {
  expect(await plain(status([]))).toBe("There are no other nodes.\n");
  const off = { ...status([]), running: false, reason: "this node is the only member" };
  expect(await plain(off)).toBe("The mesh does not run: this node is the only member.\n");
});

test("programs get everything", async () => {
  expect(JSON.parse(await render(meshOutput(status([peer("w1")])), "json"))).toEqual(status([peer("w1")]));
  expect(await render(meshOutput(status([peer("w1")])), "yaml")).toContain("  last-contact: 2026-08-21T10:00:09.456Z");
});
