import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { constants, openSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { createFakeDaemon, type Routes, sendError, sendSync } from "../support/fake-daemon.ts";
import { type CliResult, mainBundle, startCli, testBundle } from "../support/run-cli.ts";
import { localNode, notReady, readyCluster, readyText } from "../support/statuses.ts";

const aNode: Routes = { "GET /1.0/k8sd/node": (_request, answer) => sendSync(answer, localNode) };

function run(stateDir: string, ...args: string[]): Promise<CliResult> {
  return startCli({ args: [...args, "--state-dir", stateDir] }).result;
}

describe.concurrent("k8s status", () => {
  test("prints the status and asks each thing once", async () => {
    await using daemon = await createFakeDaemon({
      ...aNode,
      "GET /1.0/k8sd/cluster": (_request, answer) => sendSync(answer, { status: readyCluster }),
    });
    expect(await run(daemon.stateDir, "status")).toEqual({ code: 0, stdout: readyText, stderr: "" });
    expect(daemon.received.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "GET /1.0/k8sd/node",
      "GET /1.0/k8sd/cluster",
    ]);
    expect(daemon.received[0]?.headers).toMatchObject({ host: "control.socket", connection: "close" });
  });

  test("finds the socket below SNAP_COMMON", async () => {
    await using daemon = await createFakeDaemon({});
    const result = await startCli({ args: ["status"], env: { SNAP_COMMON: daemon.directory } }).result;
    expect(result.stderr).toContain(`${daemon.directory}/var/lib/k8sd/state/control.socket: no such file or directory`);
  });

  test("prints JSON and YAML", async () => {
    await using daemon = await createFakeDaemon({
      ...aNode,
      "GET /1.0/k8sd/cluster": (_request, answer) => sendSync(answer, { status: readyCluster }),
    });
    const [json, yaml] = await Promise.all([
      run(daemon.stateDir, "status", "--output-format", "json"),
      run(daemon.stateDir, "status", "--output-format=yaml"),
    ]);
    expect(JSON.parse(json.stdout)).toMatchObject({ ready: true, datastore: { type: "sqlite" } });
    expect(yaml.stdout).toMatch(/^ready: true\nmembers:\n- name: node-a\n {2}address: 10\.0\.0\.1:6400\n/);
  });

  test("says how to bootstrap on a node without a cluster", async () => {
    await using daemon = await createFakeDaemon({
      "GET /1.0/k8sd/node": (_request, answer) => sendError(answer, 503, "Database is not yet initialized"),
    });
    expect(await run(daemon.stateDir, "status")).toEqual({
      code: 1,
      stdout: "",
      stderr:
        "Error: The node is not part of a Kubernetes cluster. You can bootstrap a new cluster with:\n\n  sudo k8s bootstrap\n",
    });
  });

  test("waits for a daemon that is still starting", async () => {
    let asked = 0;
    await using daemon = await createFakeDaemon({
      "GET /1.0/k8sd/node": (_request, answer) => {
        asked += 1;
        if (asked < 3) sendError(answer, 503, "Database is still starting");
        else sendSync(answer, localNode);
      },
      "GET /1.0/k8sd/cluster": (_request, answer) => sendSync(answer, { status: readyCluster }),
    });
    expect(await run(daemon.stateDir, "status")).toEqual({ code: 0, stdout: readyText, stderr: "" });
    expect(asked).toBe(3);
  });

  test("waits for a socket that is about to appear", async () => {
    await using daemon = await createFakeDaemon({
      ...aNode,
      "GET /1.0/k8sd/cluster": (_request, answer) => sendSync(answer, { status: readyCluster }),
    });
    await daemon.stop();
    const { result } = startCli({ args: ["status", "--state-dir", daemon.stateDir] });
    // Later than the CLI's first attempt; were the CLI slower, this test would only show less.
    setTimeout(() => void daemon.start(), 700);
    expect(await result).toEqual({ code: 0, stdout: readyText, stderr: "" });
  });

  test("does not wait long for a daemon that is not there", async () => {
    const directory = await mkdtemp(join(tmpdir(), "k8s-cli-"));
    const begun = Date.now();
    const result = await run(directory, "status");
    await rm(directory, { recursive: true });
    expect(Date.now() - begun).toBeLessThan(8_000);
    expect(result).toEqual({
      code: 1,
      stdout: "",
      stderr: `Error: Failed to create a k8sd client. Make sure that the k8sd service is running.

The error was: cannot connect to ${directory}/control.socket: no such file or directory
`,
    });
  });

  test("reports the daemon's error in its layers", async () => {
    await using daemon = await createFakeDaemon({
      ...aNode,
      "GET /1.0/k8sd/cluster": (_request, answer) => sendError(answer, 403, "this action is restricted on workers"),
    });
    expect(await run(daemon.stateDir, "status", "--wait-ready")).toEqual({
      code: 1,
      stdout: "",
      stderr: `Error: Failed to retrieve the cluster status.

The error was: failed after potential retry: failed to GET /k8sd/cluster: this action is restricted on workers. Run it on a control plane.
`,
    });
  });

  test("reports a node status that failed", async () => {
    await using daemon = await createFakeDaemon({
      "GET /1.0/k8sd/node": (_request, answer) => sendError(answer, 500, "disk on fire"),
    });
    expect((await run(daemon.stateDir, "status")).stderr).toBe(`Error: Failed to check the current node status.

The error was: failed after potential retry: failed to GET /k8sd/node: disk on fire
`);
  });

  test("is not confused by a server that is not k8sd", async () => {
    await using daemon = await createFakeDaemon({
      "GET /1.0/k8sd/node": (_request, answer) => {
        answer.writeHead(502).end("<html>");
      },
    });
    expect((await run(daemon.stateDir, "status")).stderr).toContain(
      "HTTP status 502 and something that is not its API",
    );
  });

  test("--wait-ready asks until the cluster is ready, through errors of a daemon that comes up", async () => {
    let asked = 0;
    await using daemon = await createFakeDaemon({
      ...aNode,
      "GET /1.0/k8sd/cluster": (_request, answer) => {
        asked += 1;
        if (asked === 1) sendError(answer, 500, "failed to create k8s client: connection refused");
        else sendSync(answer, { status: asked === 2 ? notReady("no Node is Ready") : readyCluster });
      },
    });
    expect(await run(daemon.stateDir, "status", "--wait-ready=true")).toEqual({
      code: 0,
      stdout: readyText,
      stderr: "",
    });
    expect(asked).toBe(3);
  });

  test("--wait-ready gives up at its timeout with the reasons", async () => {
    await using daemon = await createFakeDaemon({
      ...aNode,
      "GET /1.0/k8sd/cluster": (_request, answer) => sendSync(answer, { status: notReady("no Node is Ready") }),
    });
    expect(await run(daemon.stateDir, "status", "--wait-ready", "--timeout", "1s")).toEqual({
      code: 1,
      stdout: "",
      stderr: `Timeout 1s is less than minimum of 3s. Using the minimum 3s instead.
Error: Failed to retrieve the cluster status.

The error was: the cluster is not ready: node: no Node is Ready
`,
    });
  });

  test("ends at its timeout when the daemon hangs", async () => {
    await using daemon = await createFakeDaemon({ "GET /1.0/k8sd/node": () => {} });
    expect((await run(daemon.stateDir, "status", "--timeout", "3s")).stderr).toBe(
      `Error: Failed to check the current node status.

The error was: failed after potential retry: failed to GET /k8sd/node: k8sd did not finish within 3s
`,
    );
  });
});

describe.concurrent("k8s local-node-status", () => {
  test("prints the node", async () => {
    await using daemon = await createFakeDaemon(aNode);
    expect(await run(daemon.stateDir, "local-node-status")).toEqual({
      code: 0,
      stdout: "{node-a 10.0.0.1:6400 control-plane voter}\n",
      stderr: "",
    });
  });
});

test("the program loads nothing that is slow to load before it knows the command", async () => {
  const script = `require(process.argv[1]); process.on("exit", () => fs.writeSync(2, process.moduleLoadList.join("\\n")));`;
  const { stderr } = await promisify(execFile)(process.execPath, ["-e", script, mainBundle, "--help"]);
  const loaded = new Set(stderr.split("\n").map((line) => line.replace("NativeModule ", "")));
  expect(loaded).toContain("fs");
  for (const slow of ["http", "net", "stream", "readline", "child_process", "internal/fs/promises"]) {
    expect(loaded).not.toContain(slow);
  }
});

test("the program itself prints its help", async () => {
  const { code, stdout, stderr } = await startCli({ args: ["--help"], entry: "main" }).result;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("Usage: k8s [command]");
});

describe.concurrent("output", () => {
  const patience = { timeout: 10_000 };
  const long = "0123456789abcdef".repeat(20_000);
  const aLongAnswer: Routes = {
    ...aNode,
    "GET /1.0/k8sd/kubeconfig": (_request, answer) => sendSync(answer, { kubeconfig: long }),
  };

  test("is whole for a reader that is slow, in a pipe that does not block", async ({ onTestFinished }) => {
    await using daemon = await createFakeDaemon(aLongAnswer);
    const path = join(daemon.directory, "pipe");
    await promisify(execFile)("mkfifo", [path]);
    const pipe = openSync(path, constants.O_RDWR);
    const child = spawn(process.execPath, [testBundle, "config", "--state-dir", daemon.stateDir], {
      stdio: ["ignore", pipe, "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const ended = once(child, "exit");
    // Makes it a non-blocking one, for the program too, and reads nothing yet.
    const reader = new Socket({ fd: pipe, writable: false });
    onTestFinished(() => void reader.destroy());
    // The pipe takes 64 KiB and is full then; only now somebody reads.
    await vi.waitFor(async () => {
      const written = /^wchar: (\d+)$/m.exec(await readFile(`/proc/${child.pid}/io`, "utf8"))?.[1];
      expect(Number(written)).toBeGreaterThanOrEqual(64 * 1024);
    }, patience);
    let received = "";
    reader.setEncoding("utf8").on("data", (piece: string) => {
      received += piece;
    });
    await vi.waitFor(() => expect(received).toHaveLength(long.length + 1), patience);
    expect(received).toBe(`${long}\n`);
    expect(await ended).toEqual([0, null]);
  });

  test("ends the program when its reader is gone", async ({ onTestFinished }) => {
    await using daemon = await createFakeDaemon(aLongAnswer);
    const child = spawn(process.execPath, [testBundle, "config", "--state-dir", daemon.stateDir]);
    onTestFinished(() => void child.kill("SIGKILL"));
    child.stdout.once("data", () => child.stdout.destroy());
    const [stderr, ended] = await Promise.all([text(child.stderr), once(child, "exit")]);
    expect({ stderr, ended }).toEqual({ stderr: "", ended: [1, null] });
  });
});

describe.concurrent("k8s config", () => {
  test("prints the kubeconfig for the wanted server", async () => {
    await using daemon = await createFakeDaemon({
      ...aNode,
      "GET /1.0/k8sd/kubeconfig": (_request, answer) =>
        sendSync(answer, { kubeconfig: "apiVersion: v1\nkind: Config" }),
    });
    const expected = { code: 0, stdout: "apiVersion: v1\nkind: Config\n", stderr: "" };
    expect(await run(daemon.stateDir, "config", "--server", "192.168.210.41")).toEqual(expected);
    expect(await run(daemon.stateDir, "config")).toEqual(expected);
    const bodies = daemon.received.filter(({ path }) => path.endsWith("kubeconfig")).map(({ body }) => body);
    expect(bodies).toEqual([{ server: "192.168.210.41" }, { server: "" }]);
  });

  test("names the server when it fails", async () => {
    await using daemon = await createFakeDaemon({
      ...aNode,
      "GET /1.0/k8sd/kubeconfig": (_request, answer) => sendError(answer, 500, "no certificate"),
    });
    expect((await run(daemon.stateDir, "config", "--server=x")).stderr).toBe(
      `Error: Failed to generate an admin kubeconfig for "x".

The error was: failed after potential retry: failed to GET /k8sd/kubeconfig: no certificate
`,
    );
  });
});
