import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createFakeDaemon, type Routes, sendError, sendSync } from "../support/fake-daemon.ts";
import { type CliResult, startCli } from "../support/run-cli.ts";
import { localNode } from "../support/statuses.ts";

const noNode: Routes = {
  "GET /1.0/k8sd/node": (_request, answer) => sendError(answer, 503, "Database is not yet initialized"),
};
const joining: Routes = { ...noNode, "POST /1.0/k8sd/cluster/join": (_request, answer) => sendSync(answer, {}) };

const failing = (message: string): Routes => ({
  ...noNode,
  "POST /1.0/k8sd/cluster/join": (_request, answer) => sendError(answer, 500, message),
});

function run(stateDir: string, ...args: string[]): Promise<CliResult> {
  return startCli({ args: ["join-cluster", ...args, "--state-dir", stateDir] }).result;
}

describe.concurrent("k8s join-cluster", () => {
  test("hands the token on and says what comes next", async () => {
    await using daemon = await createFakeDaemon(joining);
    const result = await run(
      daemon.stateDir,
      "dG9rZW4=",
      "--name",
      "N2.lan",
      "--address",
      "10.0.0.2",
      "--timeout",
      "2m",
    );
    expect(result).toEqual({
      code: 0,
      stdout: `Cluster services have started on "N2.lan".
Please allow some time for initial Kubernetes node registration.

`,
      stderr: "Joining the cluster. This may take a few seconds, please wait.\n",
    });
    expect(daemon.received.at(-1)?.body).toEqual({
      name: "N2.lan",
      address: "10.0.0.2",
      token: "dG9rZW4=",
      config: "",
      timeout: 120_000_000_000,
    });
  });

  test("passes its file on as it is, and with the directory of containerd when that is given", async () => {
    await using daemon = await createFakeDaemon(joining);
    const directory = await mkdtemp(join(tmpdir(), "join-"));
    const file = join(directory, "node.yaml");
    const text = 'extra-node-kubelet-args:\n  "--v": 1.10\n';
    await writeFile(file, text);
    expect((await run(daemon.stateDir, "t", "--name", "n2", "--file", file)).code).toBe(0);
    expect(daemon.received.at(-1)?.body).toMatchObject({ config: text });
    expect((await run(daemon.stateDir, "t", "--file", file, "--containerd-base-dir", "/srv/c")).code).toBe(0);
    expect(daemon.received.at(-1)?.body).toMatchObject({
      config: 'extra-node-kubelet-args:\n  --v: "1.10"\ncontainerd-base-dir: /srv/c\n',
    });
    await rm(directory, { recursive: true });
  });

  test("prints the name for programs", async () => {
    await using daemon = await createFakeDaemon(joining);
    const json = await run(daemon.stateDir, "t", "--name", "n2", "--output-format", "json");
    expect(JSON.parse(json.stdout)).toEqual({ name: "n2" });
    expect((await run(daemon.stateDir, "t", "--name", "n2", "--output-format=yaml")).stdout).toBe("name: n2\n");
  });

  test("says why it does not join", async () => {
    const message = "failed to join k8sd cluster as worker: cannot join as w1: the token is used up";
    await using daemon = await createFakeDaemon(failing(message));
    const { code, stdout, stderr } = await run(daemon.stateDir, "t", "--name", "w1");
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("Error: Failed to join the cluster using the provided token.\n");
    expect(stderr).toContain(message);
  });

  test("a configuration that cannot be read has its own words", async () => {
    const reason = 'unknown key "extra-sans" (line 1)';
    const message = `failed to join k8sd cluster as worker: cannot read the configuration: ${reason}`;
    await using daemon = await createFakeDaemon(failing(message));
    const { stderr } = await run(daemon.stateDir, "t", "--name", "w1");
    expect(stderr).toContain(`Join cluster config verification failed: ${reason}`);
  });

  test("is refused on a member before anything is asked", async () => {
    await using daemon = await createFakeDaemon({
      "GET /1.0/k8sd/node": (_request, answer) => sendSync(answer, localNode),
    });
    const { code, stderr } = await run(daemon.stateDir, "t");
    expect([code, stderr]).toEqual([1, "Error: The node is already part of a cluster\n"]);
  });
});
