import { describe, expect, test } from "vitest";
import { createFakeDaemon, type Routes, sendError, sendSync } from "../support/fake-daemon.ts";
import { type CliResult, startCli } from "../support/run-cli.ts";
import { localNode } from "../support/statuses.ts";

const aNode: Routes = { "GET /1.0/k8sd/node": (_request, answer) => sendSync(answer, localNode) };
const removing: Routes = { ...aNode, "POST /1.0/k8sd/cluster/remove": (_request, answer) => sendSync(answer, {}) };
const leaving: Routes = { ...aNode, "POST /1.0/k8sd/cluster/leave": (_request, answer) => sendSync(answer, {}) };

function run(stateDir: string, ...args: string[]): Promise<CliResult> {
  return startCli({ args: [...args, "--state-dir", stateDir] }).result;
}

describe.concurrent("k8s remove-node", () => {
  test("hands the name on and says what it does and did", async () => {
    await using daemon = await createFakeDaemon(removing);
    expect(await run(daemon.stateDir, "remove-node", "n2", "--force", "--timeout", "2m")).toEqual({
      code: 0,
      stdout: "Removed n2 from cluster.\n\n",
      stderr: 'Removing "n2" from the Kubernetes cluster. This may take a few seconds, please wait.\n',
    });
    expect(daemon.received.at(-1)?.body).toEqual({ name: "n2", force: true, timeout: 120_000_000_000 });
  });

  test("prints the name for programs", async () => {
    await using daemon = await createFakeDaemon(removing);
    const json = await run(daemon.stateDir, "remove-node", "n2", "--output-format", "json");
    expect(JSON.parse(json.stdout)).toEqual({ name: "n2" });
    expect((await run(daemon.stateDir, "remove-node", "n2", "--output-format=yaml")).stdout).toBe("name: n2\n");
  });

  test("says why it does not", async () => {
    const message = "failed to remove node: cannot remove n2: then 1 of 2 voting members of etcd are healthy";
    await using daemon = await createFakeDaemon({
      ...aNode,
      "POST /1.0/k8sd/cluster/remove": (_request, answer) => sendError(answer, 500, message),
    });
    const { code, stdout, stderr } = await run(daemon.stateDir, "remove-node", "n2");
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain('Error: Failed to remove node "n2" from the cluster.\n');
    expect(stderr).toContain(message);
  });

  test("wants a name", async () => {
    await using daemon = await createFakeDaemon(removing);
    expect((await run(daemon.stateDir, "remove-node")).code).toBe(1);
    const empty = await run(daemon.stateDir, "remove-node", "");
    expect([empty.code, empty.stderr]).toEqual([1, expect.stringContaining("address of a node is required")]);
    expect(daemon.received).toEqual([]);
  });
});

describe.concurrent("k8s leave", () => {
  test("leaves and says so", async () => {
    await using daemon = await createFakeDaemon(leaving);
    const result = await run(daemon.stateDir, "leave");
    expect(result).toMatchObject({
      code: 0,
      stdout: "node-a has left the cluster. Nothing of it is left on this node.\n\n",
    });
    expect(daemon.received.at(-1)?.body).toEqual({ force: false, timeout: 180_000_000_000 });
  });

  test("says why it does not, and is refused where there is nothing to leave", async () => {
    const message = "failed to leave the cluster: cannot leave with node-a: it is the last control plane";
    await using daemon = await createFakeDaemon({
      ...aNode,
      "POST /1.0/k8sd/cluster/leave": (_request, answer) => sendError(answer, 500, message),
    });
    const failed = await run(daemon.stateDir, "leave");
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain("Error: Failed to leave the cluster.\n");
    await using fresh = await createFakeDaemon({
      "GET /1.0/k8sd/node": (_request, answer) => sendError(answer, 503, "Database is not yet initialized"),
    });
    expect((await run(fresh.stateDir, "leave")).stderr).toContain("The node is not part of a Kubernetes cluster.");
  });
});
