import { describe, expect, test } from "vitest";
import { isGivenUp } from "../../../src/cluster/join/given-up.ts";
import type { Member } from "../../../src/datastore/datastore.ts";

const at = (address: string) => `https://${address}:2380`;
const member = (id: bigint, name: string, address: string, isLearner = false): Member => ({
  id,
  name,
  peerUrls: [at(address)],
  clientUrls: [],
  isLearner,
});
const record = (name: string, address: string, state: "joining" | "active" | "leaving" | "removed" = "active") => ({
  name,
  role: "control-plane" as const,
  state,
  addresses: [address],
});

const founder = member(1n, "n1", "10.0.0.1");
const nameless = member(9n, "", "10.0.0.99", true);

function givenUp(
  learner: Member,
  members: readonly ReturnType<typeof record>[],
  others: readonly Member[] = [founder],
) {
  return isGivenUp(learner, { members, etcd: [...others, learner], peerPort: 2380, self: "n3" });
}

describe("a learner of etcd that stands in the way of a join", () => {
  const n1 = record("n1", "10.0.0.1");
  const n3 = record("n3", "10.0.0.3", "joining");

  test("was given up when no member is at its address and none is missing", () => {
    expect(givenUp(nameless, [n1, n3])).toBe(true);
  });

  test("was given up when the member at its address is on its way out", () => {
    expect(givenUp(nameless, [n1, n3, record("n2", "10.0.0.99", "leaving")])).toBe(true);
  });

  test("is waited for when a member that comes in is at its address", () => {
    expect(givenUp(nameless, [n1, n3, record("n2", "10.0.0.99", "joining")])).toBe(false);
  });

  test("is waited for while a control plane is missing that may have moved, until it is known who it is", () => {
    const moved = record("n2", "10.0.0.2");
    expect(givenUp(nameless, [n1, n3, moved])).toBe(false);
    expect(givenUp({ ...nameless, name: "n2" }, [n1, n3, moved])).toBe(false);
    expect(givenUp({ ...nameless, name: "n4" }, [n1, n3, moved])).toBe(true);
  });

  test("is not a control plane whose own member is there, at its address or by its name", () => {
    const n2 = record("n2", "10.0.0.2");
    expect(givenUp(nameless, [n1, n3, n2], [founder, member(2n, "n2", "10.0.0.2")])).toBe(true);
    expect(givenUp(nameless, [n1, n3, n2], [founder, member(2n, "n2", "10.0.0.22")])).toBe(true);
  });

  test("is neither the node that waits for it nor another one in the queue", () => {
    const self = record("n3", "10.0.0.3");
    expect(givenUp(nameless, [n1, self, record("n4", "10.0.0.4", "joining")])).toBe(true);
  });
});
