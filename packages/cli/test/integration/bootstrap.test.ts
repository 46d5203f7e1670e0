import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  beginStream,
  createFakeDaemon,
  type FakeDaemon,
  failure,
  type Received,
  sendError,
  sendEvent,
  sendSync,
  step,
  sync,
} from "../support/fake-daemon.ts";
import { type CliOptions, type CliResult, startCli } from "../support/run-cli.ts";
import { localNode } from "../support/statuses.ts";

const waiting = "Bootstrapping the cluster. This may take a few seconds, please wait.\n";
const result = { name: "node-a", address: "10.0.0.1:6400" };
const resultText = `Bootstrapped a new Kubernetes cluster with node address "10.0.0.1:6400".
The node will be 'Ready' to host workloads after the CNI is deployed successfully.

`;
const usual = {
  "cluster-config": {
    network: { enabled: true, "kube-proxy-enabled": false },
    dns: { enabled: true },
    gateway: { enabled: true },
    "local-storage": { enabled: true },
  },
};

function aDaemon(
  bootstrap: (request: Received, answer: ServerResponse) => void = (_request, answer) => sendSync(answer, result),
): Promise<FakeDaemon> {
  return createFakeDaemon({
    "GET /1.0/k8sd/node": (_request, answer) => sendError(answer, 503, "Database is not yet initialized"),
    "POST /1.0/k8sd/cluster": bootstrap,
  });
}

function run(daemon: FakeDaemon, args: readonly string[] = [], more: Partial<CliOptions> = {}): Promise<CliResult> {
  return startCli({ args: ["bootstrap", "--state-dir", daemon.stateDir, ...args], ...more }).result;
}

const posts = (daemon: FakeDaemon) => daemon.received.filter(({ method }) => method === "POST");

describe.concurrent("k8s bootstrap", () => {
  test("shows the steps on stderr as they finish, and only the result on stdout", async () => {
    await using daemon = await aDaemon((_request, answer) => {
      beginStream(answer);
      sendEvent(answer, "step", step(1, "started", "Check the host"));
      sendEvent(answer, "step", step(1, "done", "Check the host"));
      sendEvent(answer, "step", step(12, "done", "Write the ledger", { elapsedMs: 1234 }));
      sendEvent(answer, "result", sync(result));
      answer.end();
    });
    expect(await run(daemon)).toEqual({
      code: 0,
      stdout: resultText,
      stderr: `${waiting}  [ 1/12] Check the host ... 0.04 s\n  [12/12] Write the ledger ... 1.23 s\n`,
    });
    const [post] = posts(daemon);
    expect(post?.headers.accept).toBe("text/event-stream");
    expect(post?.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("sends the defaults, the host's name in lower case and no address of its own", async () => {
    await using daemon = await aDaemon();
    expect(await run(daemon)).toEqual({ code: 0, stdout: resultText, stderr: waiting });
    expect(daemon.received.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "GET /1.0/k8sd/node",
      "POST /1.0/k8sd/cluster",
    ]);
    expect(posts(daemon)[0]?.body).toEqual({ name: "node-a", address: "", config: usual, timeout: 90e9 });
  });

  test("sends what the user says", async () => {
    await using daemon = await aDaemon();
    const args = ["--name", "Other", "--address=10.0.0.0/24", "--timeout", "2m", "--containerd-base-dir", "/a/./b/"];
    const { code, stdout } = await run(daemon, [...args, "--output-format", "json"]);
    expect({ code, stdout: JSON.parse(stdout) }).toEqual({ code: 0, stdout: { node: result } });
    const config = { ...usual, "containerd-base-dir": "/a/b/" };
    expect(posts(daemon)[0]?.body).toEqual({ name: "Other", address: "10.0.0.0/24", config, timeout: 120e9 });
  });

  test("takes the configuration of a file instead of the defaults", async () => {
    await using daemon = await aDaemon();
    const path = join(daemon.directory, "config.yaml");
    await writeFile(path, "pod-cidr: 10.9.0.0/16\ncluster-config: { dns: { enabled: yes } }\n");
    await run(daemon, ["--file", path]);
    await run(daemon, ["--file", "-"], { stdin: "secure-port: 6444\n" });
    expect(posts(daemon).map(({ body }) => (body as { config: unknown }).config)).toEqual([
      { "pod-cidr": "10.9.0.0/16", "cluster-config": { dns: { enabled: true } } },
      { "secure-port": 6444 },
    ]);
  });

  test("asks with --interactive, on stderr", async () => {
    await using daemon = await aDaemon();
    const outcome = await run(daemon, ["--interactive"], { stdin: "DNS, frob\nDNS, Ingress\n10.2.0.0/16\n\n" });
    const features =
      "Which features would you like to enable? (network, dns, gateway, ingress, local-storage, load-balancer) [network, dns, gateway, local-storage]: ";
    expect(outcome).toEqual({
      code: 0,
      stdout: resultText,
      stderr: `${features}  "frob" is not a valid option.\n${features}Please set the Pod CIDR: [10.1.0.0/16]: Please set the Service CIDR: [10.152.183.0/24]: ${waiting}`,
    });
    expect(posts(daemon)[0]?.body).toMatchObject({
      config: {
        "cluster-config": { dns: { enabled: true }, ingress: { enabled: true } },
        "pod-cidr": "10.2.0.0/16",
        "service-cidr": "10.152.183.0/24",
      },
    });
  });

  test.each([
    [
      ["--file", "/nonexistent/x.yaml"],
      'Error: Failed to read bootstrap configuration from "/nonexistent/x.yaml".\n\nThe error was: ENOENT',
    ],
    [
      ["--file", "-"],
      'Error: Failed to read bootstrap configuration from "-".\n\nThe error was: the document must be a map',
    ],
    [["--interactive", "--file", "x"], "Error: --interactive and --file flags cannot be set at the same time.\n"],
    [["--interactive"], "Error: Failed to read the answers."],
    [["--containerd-base-dir", "a/b"], 'Error: containerd-base-dir must be an absolute path, got "a/b"\n'],
  ])("%j is refused before the daemon is asked to do anything", async (args, message) => {
    await using daemon = await aDaemon();
    const { code, stdout, stderr } = await run(daemon, args, { stdin: "- a list\n" });
    expect({ code, stdout, posts: posts(daemon) }).toEqual({ code: 1, stdout: "", posts: [] });
    expect(stderr).toContain(message);
  });

  test("refuses a node that is already in a cluster", async () => {
    await using daemon = await createFakeDaemon({
      "GET /1.0/k8sd/node": (_request, answer) => sendSync(answer, localNode),
    });
    expect(await run(daemon)).toEqual({
      code: 1,
      stdout: "",
      stderr: "Error: The node is already part of a cluster\n",
    });
  });

  test("reports a failure of the daemon, as plain JSON or at the end of the stream", async () => {
    const expected = (text: string) => `Error: Failed to bootstrap the cluster.

The error was: failed after potential retry: failed to POST /k8sd/cluster: ${text}
`;
    await using plain = await aDaemon((_request, answer) => sendError(answer, 400, "cluster is already bootstrapped"));
    await using streaming = await aDaemon((_request, answer) => {
      beginStream(answer);
      sendEvent(answer, "step", step(2, "failed", "Start containerd", { note: "port taken" }));
      sendEvent(answer, "step", step(1, "undone", "Write files"));
      sendEvent(answer, "result", failure(400, "failed to bootstrap new cluster: port 10250 is taken"));
      answer.end();
    });
    const [first, second] = await Promise.all([run(plain), run(streaming)]);
    expect(first).toEqual({ code: 1, stdout: "", stderr: waiting + expected("cluster is already bootstrapped") });
    const steps =
      "  [ 2/12] Start containerd ... failed after 0.04 s: port taken\n  [ 1/12] Write files ... undone in 0.04 s\n";
    expect(second).toEqual({
      code: 1,
      stdout: "",
      stderr: waiting + steps + expected("failed to bootstrap new cluster: port 10250 is taken"),
    });
  });

  test("reports an invalid configuration as a failed verification", async () => {
    await using daemon = await aDaemon((_request, answer) =>
      sendError(answer, 400, "failed to prepare bootstrap config: invalid pod-cidr"),
    );
    expect(await run(daemon)).toEqual({
      code: 1,
      stdout: "",
      stderr: `${waiting}Bootstrap config verification failed: invalid pod-cidr`,
    });
  });

  test("warns when containerd's directory is in memory", async () => {
    await using daemon = await aDaemon();
    const { stderr } = await run(daemon, ["--containerd-base-dir", "/dev/shm/containerd"]);
    expect(stderr).toMatch(/^Warning: .*"\/dev\/shm\/containerd" is on tmpfs/);
  });

  test("knows the name of the machine it runs on", async () => {
    await using daemon = await aDaemon();
    await run(daemon, [], { env: { TEST_HOSTNAME: hostname() } });
    expect(posts(daemon)[0]?.body).toMatchObject({ name: hostname().toLowerCase() });
  });
});

/** A stand-in for snapd in the directory of the fake daemon. */
async function aSnapd(root: string, status: number | "hangs up"): Promise<AsyncDisposable> {
  await mkdir(join(root, "run"), { recursive: true });
  const server = createServer((request, answer) => {
    if (status === "hangs up") request.socket.destroy();
    else answer.writeHead(request.url === "/v2/snaps/microk8s" ? status : 500).end("{}");
  });
  await new Promise<void>((resolve) => server.listen(join(root, "run/snapd.socket"), resolve));
  return { [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) };
}

describe.concurrent("the host before a bootstrap", () => {
  test("must not have microk8s", async () => {
    await using daemon = await aDaemon();
    await using _snapd = await aSnapd(daemon.directory, 200);
    expect(await run(daemon, [], { env: { TEST_ROOT: daemon.directory } })).toEqual({
      code: 1,
      stdout: "",
      stderr:
        "Error: microk8s snap is installed. Please remove it using the following command and try again:\n\n  sudo snap remove microk8s\n",
    });
    expect(daemon.received).toEqual([]);
  });

  test("may have snapd without microk8s", async () => {
    await using daemon = await aDaemon();
    await using _snapd = await aSnapd(daemon.directory, 404);
    expect(await run(daemon, [], { env: { TEST_ROOT: daemon.directory } })).toEqual({
      code: 0,
      stdout: resultText,
      stderr: waiting,
    });
  });

  test.each([500, "hangs up"] as const)("may have a snapd that gives no answer (%s)", async (status) => {
    await using daemon = await aDaemon();
    await using _snapd = await aSnapd(daemon.directory, status);
    const { code, stderr } = await run(daemon, [], { env: { TEST_ROOT: daemon.directory } });
    expect(code).toBe(0);
    expect(stderr).toMatch(/^Warning: failed to check if microk8s is installed: .+\nBootstrapping/);
  });

  test.each([
    ["container=lxc\0HOME=/\0", true],
    ["HOME=/\0", false],
  ])("with the environment %j is told about LXD: %s", async (environment, told) => {
    await using daemon = await aDaemon();
    await mkdir(join(daemon.directory, "proc/1"), { recursive: true });
    await writeFile(join(daemon.directory, "proc/1/environ"), environment);
    // /sys and /dev/kmsg are missing here, so they belong to nobody.
    const { code, stderr } = await run(daemon, [], { env: { TEST_ROOT: daemon.directory } });
    expect(code).toBe(0);
    expect(stderr.includes("LXD container, see https://")).toBe(told);
  });
});
