import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { versionProblem } from "../../../src/cluster/join/version-rule.ts";
import { version } from "../../../src/version.ts";

type Members = Parameters<typeof versionProblem>[1];
type Role = Members[number]["role"];

const member = (name: string, role: Role, kubernetes: string, more: Partial<Members[number]> = {}) =>
  ({ id: name, name, role, state: "active", versions: { k8sd: "0.4.0", kubernetes }, ...more }) as const;
const joiner = (role: Role, kubernetes: string, k8sd = "0.4.0") => ({
  id: "new",
  role,
  versions: { k8sd, kubernetes },
});
const controlPlane = (kubernetes: string) => member("n1", "control-plane", kubernetes);
const worker = (kubernetes: string) => member("w1", "worker", kubernetes);

describe("a node that joins", () => {
  test.each<[string, ReturnType<typeof joiner>, Members, RegExp | undefined]>([
    ["control plane of the same version", joiner("control-plane", "1.36.3"), [controlPlane("1.36.3")], undefined],
    ["control plane of another patch", joiner("control-plane", "1.36.9"), [controlPlane("1.36.3")], undefined],
    ["control plane one minor newer", joiner("control-plane", "1.37.0"), [controlPlane("1.36.3")], undefined],
    ["control plane one minor older", joiner("control-plane", "1.35.0"), [controlPlane("1.36.3")], undefined],
    ["control plane two minors newer", joiner("control-plane", "1.38.0"), [controlPlane("1.36.3")], /may be one minor/],
    ["control plane two minors older", joiner("control-plane", "1.34.0"), [controlPlane("1.36.3")], /may be one minor/],
    [
      "control plane between two that are in the middle of an upgrade",
      joiner("control-plane", "1.37.0"),
      [controlPlane("1.36.0"), member("n2", "control-plane", "1.35.0")],
      /that of n2 is 1.35.0/,
    ],
    ["control plane older than a worker", joiner("control-plane", "1.35.0"), [worker("1.36.0")], /may not be newer/],
    ["control plane far newer than a worker", joiner("control-plane", "1.37.0"), [worker("1.33.0")], /at most 3 minor/],
    ["worker of the same version", joiner("worker", "1.36.3"), [controlPlane("1.36.3")], undefined],
    ["worker of a newer patch", joiner("worker", "1.36.9"), [controlPlane("1.36.3")], undefined],
    ["worker three minors older", joiner("worker", "1.33.0"), [controlPlane("1.36.3")], undefined],
    ["worker four minors older", joiner("worker", "1.32.9"), [controlPlane("1.36.3")], /at most 3 minor/],
    ["worker one minor newer", joiner("worker", "1.37.0"), [controlPlane("1.36.3")], /may not be newer/],
    ["worker of another major", joiner("worker", "2.36.0"), [controlPlane("1.36.3")], /the major versions differ/],
    ["worker beside a worker of any version", joiner("worker", "1.36.0"), [worker("1.30.0")], undefined],
    ["k8sd one minor apart", joiner("worker", "1.36.0", "0.5.1"), [controlPlane("1.36.0")], undefined],
    ["k8sd two minors apart", joiner("worker", "1.36.0", "0.6.0"), [controlPlane("1.36.0")], /its k8sd is 0.6.0/],
    ["k8sd of another major", joiner("worker", "1.36.0", "1.4.0"), [controlPlane("1.36.0")], /its k8sd is 1.4.0/],
  ])("%s", (_name, node, members, refused) => {
    const problem = versionProblem(node, members);
    if (refused === undefined) expect(problem).toBeUndefined();
    else {
      expect(problem?.reason).toMatch(refused);
      expect(problem?.remedy).toMatch(/^(Install|Upgrade) /);
    }
  });

  test("is not compared with itself, with who is out, or with what is not known", () => {
    const old = [
      member("new", "control-plane", "1.30.0"),
      member("gone", "control-plane", "1.30.0", { state: "removed" }),
      member("silent", "control-plane", "", { versions: {} }),
    ];
    expect(versionProblem(joiner("control-plane", "1.36.0"), old)).toBeUndefined();
    expect(versionProblem({ id: "new", role: "worker", versions: {} }, [controlPlane("1.36.0")])).toBeUndefined();
  });
});

test("the version of k8sd is the one of its package", () => {
  const { version: packaged } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  expect(version).toBe(packaged);
});
