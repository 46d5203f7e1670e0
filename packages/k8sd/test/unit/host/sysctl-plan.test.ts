import { describe, expect, test } from "vitest";

import { planSysctls, type SysctlState, tuningHeader } from "../../../src/host/sysctl-plan.ts";

const needed = { "fs.a": 1024, "fs.b": 1_048_576 };
const state = (change: Partial<SysctlState> = {}): SysctlState => ({ files: [], own: undefined, live: {}, ...change });
const file = (name: string, content = "") => ({ path: `/etc/sysctl.d/${name}`, content });

test("a machine that says nothing about them gets all needed settings, sorted", () => {
  expect(planSysctls(state(), needed)).toEqual({
    own: { name: "1-k8s.conf", content: `${tuningHeader}fs.a=1024\nfs.b=1048576\n` },
    obsolete: undefined,
    raise: {},
    overridden: [],
  });
});

test("values are compared as numbers: 128 is less than 1048576, 2000000 is more", () => {
  const plan = planSysctls(state({ files: [file("10-x.conf", "fs.a = 128\nfs.b=2000000\n")] }), needed);
  expect(plan.own.content).toBe(`${tuningHeader}fs.a=1024\n`);
});

test("the last file that sets a value counts, and one that lowers it again is answered", () => {
  const raisedThenLowered = [file("10-a.conf", "fs.a=4096\nfs/b=9999999"), file("20-b.conf", "-fs.a=100\n# fs.b=1")];
  expect(planSysctls(state({ files: raisedThenLowered }), needed).own.content).toBe(`${tuningHeader}fs.a=1024\n`);
});

describe("our file is read last", () => {
  test.each([
    [[], "1-k8s.conf"],
    [["10-a.conf", "60-b.conf"], "61-k8s.conf"],
    [["99-sysctl.conf"], "999-k8s.conf"],
    [["9-a.conf", "10-b.conf"], "99-k8s.conf"],
    [["99-a.conf", "999-b.conf"], "9999-k8s.conf"],
    [["protect-links.conf"], "1-k8s.conf"],
  ])("after %j it is %s", (names, expected) => {
    const { own } = planSysctls(state({ files: names.map((name) => file(name)) }), needed);
    expect(own.name).toBe(expected);
    for (const name of names.filter((each) => /^\d/.test(each))) expect(own.name > name).toBe(true);
  });

  test("keeps its name while nothing comes after it, and moves when something does", () => {
    const own = file("61-k8s.conf", "old");
    expect(planSysctls(state({ own, files: [file("60-a.conf")] }), needed)).toMatchObject({
      own: { name: "61-k8s.conf" },
      obsolete: undefined,
    });
    expect(planSysctls(state({ own, files: [file("70-a.conf")] }), needed)).toMatchObject({
      own: { name: "71-k8s.conf" },
      obsolete: "/etc/sysctl.d/61-k8s.conf",
    });
  });
});

test("a low value in a file that is read after every name of ours is reported", () => {
  const files = [file("zz-local.conf", "fs.a=5"), { path: "/etc/sysctl.conf", content: "fs.b=7\n" }];
  expect(planSysctls(state({ files }), needed).overridden).toEqual([
    { key: "fs.a", value: 5, path: "/etc/sysctl.d/zz-local.conf" },
    { key: "fs.b", value: 7, path: "/etc/sysctl.conf" },
  ]);
});

test("the running kernel is only ever raised", () => {
  expect(planSysctls(state({ live: { "fs.a": 128, "fs.b": 5_000_000 } }), needed).raise).toEqual({ "fs.a": 1024 });
  expect(planSysctls(state({ live: {} }), needed).raise).toEqual({});
});
