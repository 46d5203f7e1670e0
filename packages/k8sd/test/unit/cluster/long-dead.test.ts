import { describe, expect, test } from "vitest";
import { removeDeadAfter } from "../../../src/cluster/config/dead-nodes.ts";
import { createDeadWatch } from "../../../src/cluster/long-dead/dead-watch.ts";
import { type DeadView, findLongDead, type LongDeadInput } from "../../../src/cluster/long-dead/plan.ts";
import type { Liveness } from "../../../src/mesh/member-table.ts";

type Member = LongDeadInput["members"][number];
const hour = 3_600_000;

const controlPlane = (name: string, state: Member["state"] = "active"): Member => ({
  id: name,
  name,
  role: "control-plane",
  state,
});
const worker = (name: string, state: Member["state"] = "active"): Member => ({
  ...controlPlane(name, state),
  role: "worker",
});
const three = [controlPlane("n1"), controlPlane("n2"), controlPlane("n3"), worker("w1"), worker("w2")];

/** Hours by member, by control plane. */
const find = (members: readonly Member[], views: Readonly<Record<string, Readonly<Record<string, number>>>>) =>
  findLongDead({
    members,
    views: new Map(
      Object.entries(views).map(([id, hours]): [string, DeadView] => [
        id,
        new Map(Object.entries(hours).map(([other, time]) => [other, time * hour])),
      ]),
    ),
    afterMs: 24 * hour,
  })?.name;

describe("a long-dead member", () => {
  test("is one that a majority of the control planes has taken for dead for the whole time", () => {
    expect(find(three, { n1: { w1: 25 }, n2: { w1: 24 }, n3: {} })).toBe("w1");
    expect(find(three, { n1: { w1: 25 }, n2: { w1: 23 }, n3: {} })).toBeUndefined();
    expect(find(three, { n1: { w1: 99 }, n2: {}, n3: {} })).toBeUndefined();
    expect(find(three, { n1: { w1: 99 } })).toBeUndefined();
  });

  test("that is a control plane counts in the majority and has no say of its own", () => {
    expect(find(three, { n1: { n3: 25 }, n2: { n3: 25 } })).toBe("n3");
    expect(find(three, { n1: { n3: 25 }, n3: { n3: 99 } })).toBeUndefined();
    expect(find([controlPlane("n1"), controlPlane("n2")], { n1: { n2: 99 } })).toBeUndefined();
  });

  test("of a cluster with one control plane is what that one says", () => {
    const one = [controlPlane("n1"), worker("w1"), worker("w2")];
    expect(find(one, { n1: { w2: 30 } })).toBe("w2");
  });

  test("goes alone: the longest dead one first, and nobody while another one leaves or a control plane comes", () => {
    const both = { w1: 25, w2: 30 };
    expect(find(three, { n1: both, n2: both })).toBe("w2");
    expect(find([...three, worker("w3", "leaving")], { n1: both, n2: both })).toBeUndefined();
    expect(find([...three, controlPlane("n4", "joining")], { n1: both, n2: both })).toBeUndefined();
    expect(find([...three, worker("w3", "joining")], { n1: both, n2: both })).toBe("w2");
  });

  test("is none where more than half of all members are dead, or who says so is no control plane", () => {
    const most = { n3: 25, w1: 25, w2: 25 };
    expect(find(three, { n1: most, n2: most })).toBeUndefined();
    expect(find(three, { n1: { w1: 25 }, w2: { w1: 25 } })).toBeUndefined();
  });
});

test("how long a node is dead is counted without a break, by a clock that nobody sets, from this node's own start", () => {
  let elapsed = 0;
  let states: Readonly<Record<string, Liveness["state"]>> = { a: "dead", b: "alive", c: "left" };
  const rest = { incarnation: 1, since: 0, lastContact: undefined, rttMs: undefined, skewMs: undefined };
  const liveness = () => new Map(Object.entries(states).map(([id, state]) => [id, { state, ...rest }]));
  const watch = createDeadWatch({ liveness, elapsed: () => elapsed });
  expect(Object.fromEntries(watch.look())).toEqual({ a: 0, c: 0 });
  elapsed = 10;
  expect(Object.fromEntries(watch.look())).toEqual({ a: 10, c: 10 });
  states = { a: "alive", b: "suspect", c: "left" };
  expect(Object.fromEntries(watch.look())).toEqual({ c: 10 });
  states = { a: "dead", b: "unknown", c: "left" };
  elapsed = 15;
  expect(Object.fromEntries(watch.look())).toEqual({ a: 0, c: 15 });
  expect(createDeadWatch({ liveness: () => undefined, elapsed: () => 0 }).look().size).toBe(0);
});

test("is off unless the configuration names a time", () => {
  const key = "k8sd/v1alpha/lifecycle/remove-dead-nodes-after";
  expect(removeDeadAfter(undefined)).toBeUndefined();
  expect(removeDeadAfter({ annotations: {} })).toBeUndefined();
  expect(removeDeadAfter({ annotations: { [key]: "false" } })).toBeUndefined();
  expect(removeDeadAfter({ annotations: { [key]: "72h" } })).toBe(72 * hour);
});
