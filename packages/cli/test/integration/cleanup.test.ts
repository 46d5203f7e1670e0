import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runInProcess } from "../support/in-process.ts";
import { startCli } from "../support/run-cli.ts";

/** A host with a stand-in for k8sd that tells how it was called and ends with the given code. */
async function aHost(code = 0) {
  const directory = await mkdtemp(join(tmpdir(), "k8s-cleanup-"));
  await mkdir(join(directory, "bin"));
  const k8sd = join(directory, "bin/k8sd");
  await writeFile(k8sd, `#!/bin/sh\nprintf '%s\\n' "$@"\nexit ${code}\n`);
  await chmod(k8sd, 0o755);
  return { env: { SNAP: directory }, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}

describe.concurrent("k8s x-cleanup", () => {
  test.each(["containers", "network", "containerd", "files"])("%s is done by k8sd's program", async (part) => {
    await using host = await aHost();
    const { stdout, code } = await startCli({ args: ["x-cleanup", part], env: host.env }).result;
    expect(code).toBe(0);
    const [what, ...rest] = stdout.trim().split("\n");
    expect(what).toBe("x-cleanup");
    expect(rest.slice(0, 3)).toEqual([part, "--timeout-ms", "300000"]);
  });

  test("gives its time, and ends with the program's code", async () => {
    await using host = await aHost(3);
    const args = ["x-cleanup", "network", "--timeout", "90s"];
    const { stdout, code } = await startCli({ args, env: host.env }).result;
    expect(code).toBe(3);
    expect(stdout).toContain("--timeout-ms\n90000\n");
  });

  test("is root's, is not shown in the help, and names its parts", async () => {
    expect(await runInProcess(["x-cleanup", "network"], 1000)).toMatchObject({ code: 1, stdout: "" });
    expect((await runInProcess(["--help"])).stdout).not.toContain("x-cleanup");
    const { stdout } = await runInProcess(["x-cleanup", "--help"]);
    for (const part of ["containers", "network", "containerd", "files"]) expect(stdout).toContain(part);
  });
});
