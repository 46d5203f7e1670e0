import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createFakeDaemon, type Routes, sendSync } from "../support/fake-daemon.ts";
import { type CliResult, startCli } from "../support/run-cli.ts";
import { localNode } from "../support/statuses.ts";

const aNode: Routes = { "GET /1.0/k8sd/node": (_request, answer) => sendSync(answer, localNode) };

function run(stateDir: string, ...args: string[]): Promise<CliResult> {
  return startCli({ args: ["snapshot", ...args, "--state-dir", stateDir] }).result;
}

describe.concurrent("k8s snapshot schedule", () => {
  const status = {
    schedule: { every: 21_600_000_000_000, keep: 28, directory: "/s", store: false, node: "n1" },
    last: "2023-11-14T22:13:20.000Z",
    path: "/s/a",
    failed: "2023-11-15T04:13:20.000Z",
    error: "no room",
    next: "2023-11-15T04:23:20.000Z",
  };
  const routes: Routes = {
    ...aNode,
    "GET /1.0/k8sd/snapshots/schedule": (_request, answer) => sendSync(answer, status),
    "PUT /1.0/k8sd/snapshots/schedule": (_request, answer) => sendSync(answer, {}),
  };

  test("is shown", async () => {
    await using daemon = await createFakeDaemon(routes);
    const { code, stdout } = await run(daemon.stateDir, "schedule");
    expect([code, stdout]).toEqual([
      0,
      [
        "The cluster saves a snapshot every 6h0m0s to /s on n1; the newest 28 are kept.",
        "The last one is of 2023-11-14T22:13:20Z: /s/a",
        "It failed at 2023-11-15T04:13:20Z: no room",
        "The next one is due at 2023-11-15T04:23:20Z.",
        "",
      ].join("\n"),
    ]);
    const json = await run(daemon.stateDir, "schedule", "--output-format", "json");
    expect(JSON.parse(json.stdout)).toEqual(status);
    expect(daemon.received.map(({ method }) => method)).not.toContain("PUT");
  });

  test.each([
    [
      ["--every", "6h", "--keep", "28", "--directory", "/s"],
      { every: 21_600_000_000_000, keep: 28, directory: "/s", store: false },
    ],
    [["--every", "1h", "--store"], { every: 3_600_000_000_000, keep: 0, directory: "", store: true }],
    [["--off"], { every: 0, keep: 0, directory: "", store: false }],
  ])("is changed by %j", async (flags, body) => {
    await using daemon = await createFakeDaemon(routes);
    expect((await run(daemon.stateDir, "schedule", ...flags)).code).toBe(0);
    expect(daemon.received.find(({ method }) => method === "PUT")?.body).toEqual(body);
  });

  test.each([
    [["--every", "often"], "not a duration such as 6h or 30m"],
    [["--keep", "3"], "--every must say how often"],
    [["--off", "--keep", "3"], "--off goes with no other flag"],
  ])("is not changed by %j", async (flags, text) => {
    await using daemon = await createFakeDaemon(routes);
    const { code, stderr } = await run(daemon.stateDir, "schedule", ...flags);
    expect([code, stderr]).toEqual([1, expect.stringContaining(text)]);
    expect(daemon.received.map(({ method }) => method)).not.toContain("PUT");
  });
});

describe.concurrent("k8s snapshot store", () => {
  const place = { url: "https://s3.example", bucket: "b1", prefix: "a/", region: "eu-1", "access-key-id": "AK" };
  const routes: Routes = {
    ...aNode,
    "GET /1.0/k8sd/snapshots/store": (_request, answer) => sendSync(answer, { store: place }),
    "PUT /1.0/k8sd/snapshots/store": (_request, answer) => sendSync(answer, {}),
  };

  test("is shown without its secret", async () => {
    await using daemon = await createFakeDaemon(routes);
    const { code, stdout } = await run(daemon.stateDir, "store");
    const text = "Snapshots can go to s3://b1/a/ at https://s3.example, region eu-1, with the access key AK.\n";
    expect([code, stdout]).toEqual([0, text]);
  });

  test("is set with credentials from a file, and taken away", async () => {
    await using daemon = await createFakeDaemon(routes);
    const file = join(daemon.directory, "credentials");
    await writeFile(file, "[default]\naws_access_key_id = AK\naws_secret_access_key=s/e+c\n");
    const flags = ["--url", "https://s3.example", "--bucket", "b1", "--credentials", file, "--prefix", "a"];
    expect((await run(daemon.stateDir, "store", ...flags)).code).toBe(0);
    expect(daemon.received.find(({ method }) => method === "PUT")?.body).toEqual({
      store: {
        ...place,
        prefix: "a",
        region: "us-east-1",
        "access-key-id": "AK",
        "secret-access-key": "s/e+c",
        ca: "",
      },
    });
    expect((await run(daemon.stateDir, "store", "--off")).code).toBe(0);
    expect(daemon.received.findLast(({ method }) => method === "PUT")?.body).toEqual({});
  });

  test.each([
    [["--url", "https://s3.example"], "needs --url, --bucket and --credentials"],
    [["--off", "--bucket", "b"], "--off goes with no other flag"],
    [["--url", "u", "--bucket", "b", "--credentials", "/dev/null"], 'has no line "aws_access_key_id'],
  ])("is not changed by %j", async (flags, text) => {
    await using daemon = await createFakeDaemon(routes);
    const { code, stderr } = await run(daemon.stateDir, "store", ...flags);
    expect([code, stderr]).toEqual([1, expect.stringContaining(text)]);
    expect(daemon.received.map(({ method }) => method)).not.toContain("PUT");
  });
});
