import { describe, expect, test } from "vitest";
import { runInProcess as run } from "../support/in-process.ts";

describe("the command line", () => {
  test.each([[[]], [["--help"]], [["-h"]], [["help"]], [["--debug"]]])(
    "%j prints help and no hidden command",
    async (args) => {
      const { code, stdout, stderr } = await run(args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      for (const shown of ["General:", "Clustering:", "status", "kubectl", "bootstrap"])
        expect(stdout).toContain(shown);
      expect(stdout).not.toMatch(/^ {2}(config|local-node-status)/m);
      expect(stdout).not.toMatch(/state-dir|debug|verbose/);
    },
  );

  test("help of a command names its flags and not the hidden ones", async () => {
    const [flag, command] = await Promise.all([run(["bootstrap", "--help"]), run(["help", "bootstrap"])]);
    expect(flag).toEqual(command);
    const flags = [...flag.stdout.matchAll(/^ {2}(?:-., )?(--[a-z-]+)/gm)].map(([, name]) => name);
    expect(flags.sort()).toEqual([
      "--address",
      "--containerd-base-dir",
      "--file",
      "--help",
      "--interactive",
      "--name",
      "--output-format",
      "--timeout",
    ]);
  });

  test.each([
    [["frobnicate"], `Error: unknown command "frobnicate" for "k8s"\nRun 'k8s --help' for usage.\n`],
    [["status", "--frob=1"], "Error: unknown flag: --frob\nUsage: k8s status"],
    [["status", "-x"], "Error: unknown shorthand flag: 'x' in -x\nUsage: k8s status"],
    [["config", "--server"], "Error: flag needs an argument: --server\nUsage: k8s config"],
    [["status", "more"], "Error: accepts 0 arg(s), received 1\nUsage: k8s status"],
    [["get-join-token", "a", "b"], "Error: accepts at most 1 arg(s), received 2\nUsage: k8s get-join-token"],
    [["revoke-token"], "Error: accepts 1 arg(s), received 0\nUsage: k8s revoke-token"],
    [
      ["get-join-token", "--uses", "0"],
      'Error: invalid argument "0" for "--uses" flag: it must be a number from 1\nUsage: k8s get-join-token',
    ],
    [["completion"], "Error: accepts 1 arg(s), received 0\nUsage: k8s completion"],
    [
      ["status", "--timeout", "10"],
      'Error: invalid argument "10" for "--timeout" flag: time: missing unit in duration "10"\nUsage: k8s status',
    ],
    [["status", "--wait-ready=2"], 'Error: invalid argument "2" for "--wait-ready" flag: strconv.ParseBool'],
  ])("%j is refused on stderr with exit code 1", async (args, beginning) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.slice(0, beginning.length)).toBe(beginning);
  });

  test.each([
    [["status"]],
    [["bootstrap"]],
    [["get-join-token"]],
    [["tokens"]],
    [["revoke-token", "x"]],
    [["config"]],
    [["local-node-status"]],
    [["kubectl", "get", "pods"]],
  ])("%j needs root before anything else", async (args) => {
    expect(await run(args, 1000)).toEqual({
      code: 1,
      stdout: "",
      stderr: "You do not have enough permissions. Please re-run the command with sudo.\n",
    });
  });

  test.each(["status", "bootstrap", "local-node-status"])("%s refuses an unknown output format", async (command) => {
    expect(await run([command, "--output-format", "xml"])).toEqual({
      code: 1,
      stdout: "",
      stderr: 'Error: Unknown --output-format "xml". It must be one of "plain" (default), "json" or "yaml".',
    });
  });

  test("arguments are checked before root, root before the output format", async () => {
    const notRoot = 1000;
    const [both, format] = await Promise.all([
      run(["status", "more"], notRoot),
      run(["status", "--output-format", "xml"], notRoot),
    ]);
    expect(both.stderr).toContain("accepts 0 arg(s)");
    expect(format.stderr).toContain("enough permissions");
  });

  test.each(["bash", "zsh", "fish"])("completion for %s knows the commands and their flags", async (shell) => {
    const { code, stdout } = await run(["completion", shell]);
    expect(code).toBe(0);
    expect(stdout).toContain("bootstrap");
    expect(stdout).toContain("wait-ready");
    expect(stdout).not.toContain("local-node-status");
  });
});
