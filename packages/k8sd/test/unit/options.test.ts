import { describe, expect, test } from "vitest";
import { parseDaemonOptions } from "../../src/options.ts";

describe("the options of k8sd", () => {
  test("are those of the contract where nobody says otherwise", () => {
    expect(parseDaemonOptions([], {})).toEqual({
      root: "/",
      snap: "/snap/k8s/current",
      snapCommon: "/var/snap/k8s/common",
      snapData: undefined,
      snapInstance: undefined,
      stateDir: undefined,
      serviceManager: "systemd",
      kubernetes: true,
      logLevel: "info",
      socketGroup: undefined,
      drainTimeoutMs: 10_000,
      faultDirectory: undefined,
    });
  });

  test("come from snapd in a snap, also in a second one on the machine", () => {
    const env = {
      SNAP: "/snap/k8s_two/3",
      SNAP_COMMON: "/var/snap/k8s_two/common",
      SNAP_DATA: "/var/snap/k8s_two/3",
      SNAP_INSTANCE_NAME: "k8s_two",
    };
    expect(parseDaemonOptions([], env)).toMatchObject({
      snap: "/snap/k8s_two/3",
      snapCommon: "/var/snap/k8s_two/common",
      snapData: "/var/snap/k8s_two/3",
      snapInstance: "k8s_two",
      serviceManager: "snap",
    });
  });

  test("put the state below another root", () => {
    expect(parseDaemonOptions(["--root", "/tmp/x"], {}).snapCommon).toBe("/tmp/x/var/snap/k8s/common");
    expect(parseDaemonOptions(["--root", "/tmp/x"], { SNAP_COMMON: "/y" }).snapCommon).toBe("/y");
  });

  test.each([
    [{}, [], "systemd"],
    [{ SNAP_INSTANCE_NAME: "k8s" }, ["--service-manager", "supervisor"], "supervisor"],
    [{ SNAP_INSTANCE_NAME: "k8s", K8SD_RUNTIME_ENVIRONMENT: "pebble" }, [], "supervisor"],
    [{ K8SD_RUNTIME_ENVIRONMENT: "pebble" }, ["--service-manager", "systemd"], "systemd"],
  ])("take the service manager of %j and %j: %s", (env, argv, expected) => {
    expect(parseDaemonOptions(argv, env).serviceManager).toBe(expected);
  });

  test.each([
    ["0", "info"],
    ["1", "debug"],
    ["2", "trace"],
    ["9", "trace"],
    ["-1", "info"],
    ["loud", "info"],
  ])("have the level %s of the log mean %s", (level, expected) => {
    expect(parseDaemonOptions([`--log-level=${level}`], {}).logLevel).toBe(expected);
  });

  test.each([
    [["--service-manager", "openrc"], "--service-manager"],
    [["--drain-connection-timeout", "soon"], "--drain-connection-timeout"],
  ])("%j is refused, with what to give instead", (argv, field) => {
    expect(() => parseDaemonOptions(argv, {})).toThrow(
      expect.objectContaining({ kind: "invalid", field, remedy: expect.stringContaining("Give") }),
    );
  });

  test("an unknown flag is refused, one of a controller that is not here is not", () => {
    expect(() => parseDaemonOptions(["--unknown"], {})).toThrow(expect.objectContaining({ kind: "invalid" }));
    expect(parseDaemonOptions(["--disable-feature-controller", "-d"], {})).toEqual(parseDaemonOptions([], {}));
  });
});
