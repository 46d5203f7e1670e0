import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startCli } from "../support/run-cli.ts";

/** A host with a stand-in for kubectl that tells how it was called and ends with the given code. */
async function aHost(files: readonly string[], code = 0) {
  const directory = await mkdtemp(join(tmpdir(), "k8s-kubectl-"));
  await mkdir(join(directory, "bin"));
  await mkdir(join(directory, "etc/kubernetes"), { recursive: true });
  for (const file of files) await writeFile(join(directory, "etc/kubernetes", file), "");
  const kubectl = join(directory, "bin/kubectl");
  const script = `#!/bin/sh\nprintf '%s\\n' "$KUBECONFIG" "$EDITOR" "$@"\ncat\nexit ${code}\n`;
  await writeFile(kubectl, script);
  await chmod(kubectl, 0o755);
  const env = { SNAP: directory, TEST_ROOT: directory };
  return { directory, env, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}

describe.concurrent("k8s kubectl", () => {
  test.each([
    [["get", "pods", "-o", "json", "--wait-ready=x"]],
    [["exec", "-it", "pod", "--", "ls", "-l"]],
    [["--help"]],
    [["-n", "x", "--state-dir", "y", "-v", "8"]],
    [["apply", "-f", "-", "--output-format=xml"]],
  ])("gives %j to kubectl as they are", async (args) => {
    await using host = await aHost(["admin.conf", "kubelet.conf"]);
    const result = await startCli({ args: ["kubectl", ...args], env: host.env, stdin: "input" }).result;
    const head = [join(host.directory, "etc/kubernetes/admin.conf"), "nano"];
    expect(result).toEqual({ code: 0, stdout: `${[...head, ...args].join("\n")}\ninput`, stderr: "" });
  });

  test("ends with kubectl's code", async () => {
    await using host = await aHost(["admin.conf"], 42);
    expect((await startCli({ args: ["kubectl", "x"], env: host.env }).result).code).toBe(42);
  });

  test("uses the kubelet's kubeconfig on a worker", async () => {
    await using host = await aHost(["kubelet.conf"]);
    const { stdout } = await startCli({ args: ["kubectl"], env: host.env }).result;
    expect(stdout.split("\n")[0]).toBe(join(host.directory, "etc/kubernetes/kubelet.conf"));
  });

  test("leaves KUBECONFIG and EDITOR of the user", async () => {
    await using host = await aHost([]);
    const env = { ...host.env, KUBECONFIG: "/my/config", EDITOR: "ed" };
    const { stdout } = await startCli({ args: ["kubectl"], env }).result;
    expect(stdout).toBe("/my/config\ned\n");
  });

  test("says what is missing without a kubeconfig", async () => {
    await using host = await aHost([]);
    const base = join(host.directory, "etc/kubernetes");
    expect(await startCli({ args: ["kubectl"], env: host.env }).result).toEqual({
      code: 1,
      stdout: "",
      stderr: `Error: ${base}/admin.conf and ${base}/kubelet.conf do not exist; please set KUBECONFIG.\n`,
    });
  });

  test("says what is missing without kubectl", async () => {
    await using host = await aHost(["admin.conf"]);
    const { code, stderr } = await startCli({ args: ["kubectl"], env: { ...host.env, SNAP: "/nonexistent" } }).result;
    expect(code).toBe(1);
    expect(stderr).toContain("cannot run /nonexistent/bin/kubectl");
  });
});
