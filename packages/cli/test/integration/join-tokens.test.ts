import type { JoinToken } from "@k8sd/api-types";
import { describe, expect, test } from "vitest";
import { createFakeDaemon, type Routes, sendError, sendSync } from "../support/fake-daemon.ts";
import { type CliResult, startCli } from "../support/run-cli.ts";
import { localNode } from "../support/statuses.ts";

const aNode: Routes = { "GET /1.0/k8sd/node": (_request, answer) => sendSync(answer, localNode) };
const noNode: Routes = {
  "GET /1.0/k8sd/node": (_request, answer) => sendError(answer, 503, "Database is not yet initialized"),
};
const issuing: Routes = {
  ...aNode,
  "POST /1.0/k8sd/cluster/tokens": (_request, answer) => sendSync(answer, { token: "dG9rZW4=" }),
};
const token: JoinToken = {
  id: "0123456789ab",
  role: "worker",
  name: "",
  state: "valid",
  uses: 3,
  used: 1,
  joining: 1,
  cidrs: [],
  created: "2026-08-21T10:00:00.000Z",
  expires: "2026-08-22T10:00:00.000Z",
};

function run(stateDir: string, ...args: string[]): Promise<CliResult> {
  return startCli({ args: [...args, "--state-dir", stateDir] }).result;
}

describe.concurrent("k8s get-join-token", () => {
  test.each<[string[], object]>([
    [["n2"], { name: "n2", worker: false, ttl: 86_400_000_000_000 }],
    [["n2", "--expires-in", "90m"], { name: "n2", worker: false, ttl: 5_400_000_000_000 }],
    [["--worker"], { name: "", worker: true, ttl: 86_400_000_000_000 }],
    [["w1", "--worker=true", "--expires-in=1h"], { name: "w1", worker: true, ttl: 3_600_000_000_000 }],
    [
      ["--worker", "--uses", "20", "--cidr", "10.0.0.0/8", "--cidr=fd00::/8"],
      { name: "", worker: true, ttl: 86_400_000_000_000, uses: 20, cidrs: ["10.0.0.0/8", "fd00::/8"] },
    ],
  ])("%j prints the token alone", async (args, body) => {
    await using daemon = await createFakeDaemon(issuing);
    expect(await run(daemon.stateDir, "get-join-token", ...args)).toEqual({
      code: 0,
      stdout: "dG9rZW4=\n",
      stderr: "",
    });
    expect(daemon.received.at(-1)).toMatchObject({ method: "POST", path: "/1.0/k8sd/cluster/tokens", body });
  });

  test("a control plane needs a name", async () => {
    await using daemon = await createFakeDaemon(issuing);
    expect(await run(daemon.stateDir, "get-join-token")).toEqual({
      code: 1,
      stdout: "",
      stderr: "Error: A node name is required for control-plane nodes.\n",
    });
    expect(daemon.received).toEqual([]);
  });

  test.each(["-5m0s", "87600h0m1s", "1000000h0m0s"])("does not ask for a life of %s", async (life) => {
    await using daemon = await createFakeDaemon(issuing);
    const { code, stderr } = await run(daemon.stateDir, "get-join-token", "n2", "--expires-in", life);
    expect([code, stderr]).toEqual([
      1,
      `Error: A token cannot be made with --expires-in ${life}: give a time up to ten years (87600h).\n`,
    ]);
    expect(daemon.received).toEqual([]);
  });

  test("says why there is no token", async () => {
    const message = 'a node with this name is already part of the cluster: "n1"';
    await using daemon = await createFakeDaemon({
      ...aNode,
      "POST /1.0/k8sd/cluster/tokens": (_request, answer) => sendError(answer, 500, message),
    });
    expect(await run(daemon.stateDir, "get-join-token", "n1")).toEqual({
      code: 1,
      stdout: "",
      stderr: `Error: Could not generate a join token for "n1".

The error was: failed after potential retry: failed to POST /k8sd/cluster/tokens: ${message}
`,
    });
  });

  test.each([[["get-join-token", "n2"]], [["tokens"]], [["revoke-token", "0123456789ab"]]])(
    "%j on a node without a cluster says how to bootstrap",
    async (args) => {
      await using daemon = await createFakeDaemon(noNode);
      const { code, stderr } = await run(daemon.stateDir, ...args);
      expect([code, stderr]).toEqual([1, expect.stringContaining("sudo k8s bootstrap")]);
    },
  );
});

describe.concurrent("k8s tokens", () => {
  const listing = (tokens: readonly JoinToken[]): Routes => ({
    ...aNode,
    "GET /1.0/k8sd/cluster/tokens": (_request, answer) => sendSync(answer, { tokens }),
  });
  const other: JoinToken = { ...token, id: "ba9876543210", role: "control-plane", name: "n2", state: "used-up" };
  const used: JoinToken = { ...other, uses: 1, used: 1, joining: 0, cidrs: ["10.0.0.0/8", "fd00::/8"] };

  test("prints a table", async () => {
    await using daemon = await createFakeDaemon(listing([token, used]));
    expect(await run(daemon.stateDir, "tokens")).toEqual({
      code: 0,
      stderr: "",
      stdout: `ID             ROLE            NAME   STATE     USED                FROM                  EXPIRES
0123456789ab   worker          any    valid     1 of 3, 1 joining   anywhere              2026-08-22T10:00:00Z
ba9876543210   control-plane   n2     used-up   1 of 1              10.0.0.0/8,fd00::/8   2026-08-22T10:00:00Z
`,
    });
  });

  test("says that there are none", async () => {
    await using daemon = await createFakeDaemon(listing([]));
    expect((await run(daemon.stateDir, "tokens")).stdout).toBe("There are no join tokens.\n");
    expect((await run(daemon.stateDir, "tokens", "--output-format", "json")).stdout).toBe('{\n  "tokens": []\n}\n');
  });

  test("prints JSON and YAML", async () => {
    await using daemon = await createFakeDaemon(listing([token]));
    const [json, yaml] = await Promise.all([
      run(daemon.stateDir, "tokens", "--output-format", "json"),
      run(daemon.stateDir, "tokens", "--output-format=yaml"),
    ]);
    expect(JSON.parse(json.stdout)).toEqual({ tokens: [token] });
    expect(yaml.stdout).toBe(`tokens:
- id: 0123456789ab
  role: worker
  name: ""
  state: valid
  uses: 3
  used: 1
  joining: 1
  cidrs: []
  created: 2026-08-21T10:00:00.000Z
  expires: 2026-08-22T10:00:00.000Z
`);
  });
});

describe.concurrent("k8s revoke-token", () => {
  test("revokes and says so", async () => {
    await using daemon = await createFakeDaemon({
      ...aNode,
      "DELETE /1.0/k8sd/cluster/tokens/0123456789ab": (_request, answer) => sendSync(answer, {}),
    });
    expect(await run(daemon.stateDir, "revoke-token", "0123456789ab")).toEqual({
      code: 0,
      stdout: "Revoked join token 0123456789ab.\n",
      stderr: "",
    });
  });

  test("an id cannot become another path", async () => {
    await using daemon = await createFakeDaemon(aNode);
    const empty = await run(daemon.stateDir, "revoke-token", "");
    expect([empty.code, empty.stderr]).toEqual([1, expect.stringContaining("'k8s tokens' lists them")]);
    expect(daemon.received).toEqual([]);
    const { code, stderr } = await run(daemon.stateDir, "revoke-token", "../../node");
    expect(code).toBe(1);
    expect(stderr).toContain('Error: Could not revoke the join token "../../node".');
    expect(daemon.received.at(-1)?.path).toBe("/1.0/k8sd/cluster/tokens/..%2F..%2Fnode");
  });
});
