import { describe, expect, test } from "vitest";

import type { ServiceSpec } from "../../../src/host/services.ts";
import { renderUnit } from "../../../src/host/unit-file.ts";
import { parseUnits, type Unit, unitStatus } from "../../../src/host/unit-status.ts";

const paths = {
  runService: "/snap/k8s/current/bin/run-service",
  snap: "/snap/k8s/current",
  snapCommon: "/var/snap/k8s/common",
};
const spec: ServiceSpec = {
  name: "containerd",
  description: "Container runtime",
  program: "/snap/k8s/current/bin/containerd",
  args: { "--config": "/etc/containerd/config.toml" },
  env: { A: "b" },
  after: ["etcd"],
  notifies: true,
  delegates: true,
  kill: "process",
  stopTimeoutSeconds: 10,
};

test("the unit of a service that notifies and delegates is complete", () => {
  expect(
    renderUnit(spec, { paths, systemdVersion: 252 }),
  ).toBe(`# Written by k8sd. Changes made here are lost; put them in a drop-in directory beside this file.
[Unit]
Description=Container runtime
After=network.target k8s-etcd.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=/snap/k8s/current/bin/run-service containerd /snap/k8s/current/bin/containerd
Environment="SNAP=/snap/k8s/current"
Environment="SNAP_COMMON=/var/snap/k8s/common"
Restart=always
RestartSec=1
TimeoutStartSec=300
TimeoutStopSec=10
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
`);
});

test("a plain service is neither waited for nor trusted with control groups, and all its processes end with it", () => {
  const unit = renderUnit(
    { ...spec, notifies: false, delegates: false, kill: "group", after: [] },
    { paths, systemdVersion: 252 },
  );
  expect(unit).toContain("\nType=exec\n");
  expect(unit).toContain("\nKillMode=control-group\n");
  expect(unit).toContain("\nAfter=network.target\n");
  expect(unit).not.toMatch(/Delegate|TimeoutStartSec/);
  // Nothing of its memory stays when it crashes.
  expect(unit).toContain("LimitCORE=0\n");
});

test("from systemd 254 on the delay between restarts grows", () => {
  const unit = renderUnit(spec, { paths, systemdVersion: 254 });
  expect(unit).toContain("\nRestartSec=500ms\nRestartSteps=6\nRestartMaxDelaySec=30\n");
});

test("what systemd would replace in a path or a description stays as it is", () => {
  const odd = { runService: "/a b/run", snap: '/100%/"x"', snapCommon: "/c\\d" };
  const unit = renderUnit(
    { ...spec, program: "/$HOME/%n", description: "one\ntwo" },
    { paths: odd, systemdVersion: 252 },
  );
  expect(unit).toContain(`\nExecStart="/a b/run" containerd "/$$HOME/%%n"\n`);
  expect(unit).toContain(`\nEnvironment="SNAP=/100%%/\\"x\\""\nEnvironment="SNAP_COMMON=/c\\\\d"\n`);
  expect(unit).toContain("\nDescription=one two\n");
});

describe("what systemd says becomes a status", () => {
  const [base, other] = parseUnits(
    "LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=7\nNRestarts=2\nResult=success\n\nLoadState=not-found\nMainPID=0\n",
  ) as [Unit, Unit];

  test("of each unit in its own paragraph", () => {
    expect(unitStatus(other)).toEqual({ state: "stopped", reason: "not installed" });
  });

  test.each<[string, Partial<Unit>, ReturnType<typeof unitStatus>]>([
    ["running", {}, { state: "running", pid: 7, restarts: 2 }],
    ["not installed", { LoadState: "not-found" }, { state: "stopped", reason: "not installed" }],
    ["stopped", { ActiveState: "inactive", MainPID: "0" }, { state: "stopped", restarts: 2 }],
    ["starting", { ActiveState: "activating", SubState: "start" }, { state: "starting", pid: 7, restarts: 2 }],
    [
      "between two attempts",
      {
        ActiveState: "activating",
        SubState: "auto-restart",
        MainPID: "0",
        Result: "exit-code",
        ExecMainCode: "1",
        ExecMainStatus: "3",
      },
      { state: "starting", restarts: 2, reason: "exit code 3" },
    ],
    [
      "killed",
      { ActiveState: "failed", MainPID: "0", Result: "signal", ExecMainCode: "2", ExecMainStatus: "9" },
      { state: "failed", restarts: 2, reason: "killed by signal 9" },
    ],
    [
      "out of memory",
      { ActiveState: "failed", MainPID: "0", Result: "oom-kill" },
      { state: "failed", restarts: 2, reason: "killed because memory ran out" },
    ],
    ["ended by itself", { SubState: "exited", MainPID: "0" }, { state: "stopped", restarts: 2 }],
    ["something new", { ActiveState: "maintenance", MainPID: "0" }, { state: "unknown", restarts: 2 }],
  ])("%s", (_name, change, status) => {
    expect(unitStatus({ ...base, ...change })).toEqual(status);
  });
});
