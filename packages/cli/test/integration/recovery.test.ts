import type { RecoveryPlan, SetAddressResponse } from "@k8sd/api-types";
import { describe, expect, test } from "vitest";
import { createFakeDaemon, type Routes, sendSync } from "../support/fake-daemon.ts";
import { type CliResult, startCli } from "../support/run-cli.ts";
import { localNode } from "../support/statuses.ts";

const aNode: Routes = { "GET /1.0/k8sd/node": (_request, answer) => sendSync(answer, localNode) };
const plan: RecoveryPlan = {
  keeps: "n1",
  epoch: { from: 1, to: 2 },
  members: [
    { name: "n1", address: "10.0.0.1:6400", self: true, log: { term: 3, index: 812 } },
    { name: "n2", address: "10.0.0.2:6400", self: false, problem: "no answer within 5 s" },
  ],
  rejoin: ["n2"],
  backup: "/var/lib/etcd/before-epoch-2-of-n1",
};
const result = { epoch: 2, backup: plan.backup, rejoin: ["n2"] };
const recovering = (seen: RecoveryPlan): Routes => ({
  ...aNode,
  "GET /1.0/k8sd/cluster/recovery": (_request, answer) => sendSync(answer, seen),
  "POST /1.0/k8sd/cluster/recovery": (_request, answer) => sendSync(answer, result),
});
const refusing = (forceable: boolean): RecoveryPlan => ({
  ...plan,
  refusal: { message: "cannot recover: n2 has more", remedy: "Run it there.", forceable },
});

function run(stateDir: string, ...args: string[]): Promise<CliResult> {
  return startCli({ args: [...args, "--state-dir", stateDir] }).result;
}

describe.concurrent("k8s recover", () => {
  test("shows the plan, and does nothing when nobody can be asked", async () => {
    await using daemon = await createFakeDaemon(recovering(plan));
    const { code, stdout, stderr } = await run(daemon.stateDir, "recover");
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("n2   10.0.0.2:6400   no answer within 5 s");
    expect(stderr).toContain("Add --yes to do what is shown above.");
    expect(daemon.received.map(({ method }) => method)).not.toContain("POST");
  });

  test("does it with --yes, and prints what came of it in the form that is asked for", async () => {
    await using daemon = await createFakeDaemon(recovering(plan));
    const json = await run(daemon.stateDir, "recover", "--yes", "--output-format", "json");
    expect([json.code, JSON.parse(json.stdout)]).toEqual([0, result]);
    expect(daemon.received.at(-1)?.body).toEqual({ force: false, timeout: 900_000_000_000 });
    const yaml = await run(daemon.stateDir, "recover", "--yes", "--output-format", "yaml");
    expect(yaml.stdout).toBe("epoch: 2\nbackup: /var/lib/etcd/before-epoch-2-of-n1\nrejoin:\n- n2\n");
  });

  test.each([
    [false, ["--yes"], 1],
    [false, ["--yes", "--force"], 1],
    [true, ["--yes"], 1],
    [true, ["--yes", "--force"], 0],
  ])("a reason against it (forceable: %s) with %j ends with %d", async (forceable, flags, code) => {
    await using daemon = await createFakeDaemon(recovering(refusing(forceable)));
    const done = await run(daemon.stateDir, "recover", ...flags);
    expect(done.code).toBe(code);
    const posted = daemon.received.filter(({ method }) => method === "POST").map(({ body }) => body);
    expect(posted).toEqual(code === 0 ? [{ force: true, timeout: 900_000_000_000 }] : []);
    if (code === 1) expect(done.stderr).toMatch(/Error: cannot recover: n2 has more\. Run it there\.\n$/);
    // What can never be done is not shown as if it could.
    expect(done.stderr.includes("Recovering keeps the copy")).toBe(forceable);
  });
});

describe.concurrent("k8s set-address", () => {
  const moved: SetAddressResponse = {
    name: "n1",
    address: "10.0.1.1:6400",
    addresses: ["10.0.1.1", "fd00::1"],
    peers: { n2: "", n3: "no answer within 5 s" },
    advice: "The datastore has no quorum.",
  };
  const moving: Routes = { ...aNode, "POST /1.0/k8sd/node/address": (_request, answer) => sendSync(answer, moved) };

  test("changes the address, tells where the others are, and prints who could be told", async () => {
    await using daemon = await createFakeDaemon(moving);
    const { code, stdout } = await run(
      daemon.stateDir,
      "set-address",
      "10.0.1.1",
      "--peer=n2=10.0.1.2",
      "--peer",
      "n3=fd00::3",
    );
    expect([code, stdout]).toEqual([
      0,
      `n1 has the address 10.0.1.1, fd00::1; its k8sd listens on 10.0.1.1:6400.
n2 knows the new addresses.
n3 could not be told: no answer within 5 s.
The datastore has no quorum.
`,
    ]);
    expect(daemon.received.at(-1)?.body).toEqual({
      address: "10.0.1.1",
      peers: { n2: "10.0.1.2", n3: "fd00::3" },
      timeout: 300_000_000_000,
    });
  });

  test.each([
    [[], "Error: give the new address of this node, or --peer\n"],
    [["--peer", "n2"], 'Error: invalid argument "n2" for "--peer" flag: it must be NAME=ADDRESS\n'],
  ])("refuses %j before anything is asked", async (args, beginning) => {
    await using daemon = await createFakeDaemon(moving);
    const { code, stderr } = await run(daemon.stateDir, "set-address", ...args);
    expect(code).toBe(1);
    expect(stderr.slice(0, beginning.length)).toBe(beginning);
    expect(daemon.received).toEqual([]);
  });
});
