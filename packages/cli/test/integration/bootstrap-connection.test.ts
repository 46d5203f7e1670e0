import type { ServerResponse } from "node:http";
import { describe, expect, test, vi } from "vitest";
import {
  beginStream,
  createFakeDaemon,
  type FakeDaemon,
  failure,
  sendError,
  sendEvent,
  sendSync,
  step,
  sync,
} from "../support/fake-daemon.ts";
import { type RunningCli, startCli } from "../support/run-cli.ts";

const result = { name: "node-a", address: "10.0.0.1:6400" };

/** A daemon whose streams the test writes; `streams` are the answers that are open. */
async function aDaemon(cancel: (answer: ServerResponse) => void = (answer) => sendSync(answer, {})) {
  const streams: ServerResponse[] = [];
  const daemon = await createFakeDaemon({
    "GET /1.0/k8sd/node": (_request, answer) => sendError(answer, 503, "Database is not yet initialized"),
    "POST /1.0/k8sd/cluster": (_request, answer) => {
      beginStream(answer);
      streams.push(answer);
    },
    "DELETE /1.0/k8sd/operations/op-1": (_request, answer) => cancel(answer),
  });
  return { daemon, streams, [Symbol.asyncDispose]: () => daemon.close() };
}

/** Waits until `look` gives something. `expect.poll` cannot be used: it does not know which concurrent test it is in. */
function eventually<T>(what: string, look: () => T | undefined | false): Promise<T> {
  const attempt = () => {
    const found = look();
    if (found === undefined || found === false) throw new Error(`never happened: ${what}`);
    return found;
  };
  return vi.waitFor(attempt, { timeout: 15_000, interval: 20 });
}

const streamOf = (streams: readonly ServerResponse[], index: number) =>
  eventually(`request ${index + 1} of the CLI`, () => streams[index]);

const cancelled = (daemon: FakeDaemon) =>
  eventually("DELETE of the operation", () =>
    daemon.received.some(({ method, path }) => method === "DELETE" && path === "/1.0/k8sd/operations/op-1"),
  );

const bootstrap = (daemon: FakeDaemon, ...args: string[]) =>
  startCli({ args: ["bootstrap", "--state-dir", daemon.stateDir, ...args] });

const says = (cli: RunningCli, text: string) => eventually(text, () => cli.stderr().includes(text));

describe.concurrent("when the connection is lost", () => {
  test("the same operation is followed again, across a restart of the daemon", async () => {
    await using fake = await aDaemon();
    const { daemon, streams } = fake;
    const cli = bootstrap(daemon);
    const first = await streamOf(streams, 0);
    sendEvent(first, "step", step(1, "done", "Check the host"));
    await says(cli, "Check the host");
    await daemon.stop();
    await says(cli, "Connection to k8sd lost");
    await daemon.start();
    const second = await streamOf(streams, 1);
    sendEvent(second, "step", step(1, "done", "Check the host"));
    sendEvent(second, "step", step(2, "done", "Write files"));
    sendEvent(second, "result", sync(result));
    second.end();
    const { code, stdout, stderr } = await cli.result;
    expect(code).toBe(0);
    expect(stdout).toContain('node address "10.0.0.1:6400"');
    expect(stderr.split("\n").slice(1)).toEqual([
      "  [ 1/12] Check the host ... 0.04 s",
      expect.stringMatching(/^Connection to k8sd lost \(.*\); the work goes on, reconnecting\.$/),
      "Connected to k8sd again.",
      "  [ 2/12] Write files ... 0.04 s",
      "",
    ]);
    const posts = daemon.received.filter(({ method }) => method === "POST");
    expect(posts).toHaveLength(2);
    expect(posts[1]?.headers["x-request-id"]).toBe(posts[0]?.headers["x-request-id"]);
    expect(posts[1]?.body).toEqual(posts[0]?.body);
  });

  test("a stream that ends without a result is a lost connection", async () => {
    await using fake = await aDaemon();
    const cli = bootstrap(fake.daemon);
    (await streamOf(fake.streams, 0)).end();
    sendEvent(await streamOf(fake.streams, 1), "result", sync(result));
    const { code, stderr } = await cli.result;
    expect(code).toBe(0);
    expect(stderr).toContain("k8sd ended the stream without a result");
  });

  test("the result of an operation that was taken back meanwhile is told", async () => {
    await using fake = await aDaemon();
    const cli = bootstrap(fake.daemon);
    await streamOf(fake.streams, 0);
    await fake.daemon.stop();
    await fake.daemon.start();
    sendEvent(
      await streamOf(fake.streams, 1),
      "result",
      failure(400, "failed to bootstrap new cluster: k8sd was killed"),
    );
    const { code, stdout, stderr } = await cli.result;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("Error: Failed to bootstrap the cluster.");
    expect(stderr).toContain("k8sd was killed");
  });
});

describe.concurrent("Ctrl-C", () => {
  test("cancels once and waits for what the daemon makes of it", async () => {
    await using fake = await aDaemon();
    const cli = bootstrap(fake.daemon);
    const stream = await streamOf(fake.streams, 0);
    sendEvent(stream, "step", step(1, "done", "Write files"));
    await says(cli, "Write files");
    cli.process.kill("SIGINT");
    await says(cli, "Cancelling");
    await cancelled(fake.daemon);
    sendEvent(stream, "step", step(1, "undone", "Write files"));
    sendEvent(stream, "result", failure(500, "failed to bootstrap new cluster: cancelled"));
    stream.end();
    const { code, stdout, stderr } = await cli.result;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.split("\n").slice(1)).toEqual([
      "  [ 1/12] Write files ... 0.04 s",
      "Cancelling: k8sd takes back what it has done. Press Ctrl-C again to leave without waiting for that.",
      "  [ 1/12] Write files ... undone in 0.04 s",
      "Error: Failed to bootstrap the cluster.",
      "",
      "The error was: failed after potential retry: failed to POST /k8sd/cluster: failed to bootstrap new cluster: cancelled",
      "",
    ]);
    expect(fake.daemon.received.filter(({ method }) => method === "DELETE")).toHaveLength(1);
  });

  test("before the first step cancels as soon as the operation has a name", async () => {
    await using fake = await aDaemon();
    const cli = bootstrap(fake.daemon);
    const stream = await streamOf(fake.streams, 0);
    cli.process.kill("SIGINT");
    await says(cli, "Cancelling");
    sendEvent(stream, "step", step(1, "started", "Write files"));
    await cancelled(fake.daemon);
    sendEvent(stream, "result", failure(500, "cancelled"));
    expect((await cli.result).code).toBe(1);
  });

  test("before that is told under the id of the request: a join may be looking for its cluster for long", async () => {
    await using fake = await aDaemon();
    const cli = bootstrap(fake.daemon);
    const stream = await streamOf(fake.streams, 0);
    cli.process.kill("SIGINT");
    await says(cli, "Cancelling");
    const requestId = fake.daemon.received.find(({ method }) => method === "POST")?.headers["x-request-id"];
    await eventually("DELETE by the id of the request", () =>
      fake.daemon.received.some(
        ({ method, path }) => method === "DELETE" && path === `/1.0/k8sd/operations/${requestId}`,
      ),
    );
    sendEvent(stream, "result", failure(500, "cannot finish join: it was cancelled"));
    const { code, stderr } = await cli.result;
    expect(code).toBe(1);
    // That the daemon did not know it by that id is no news to anybody.
    expect(stderr).not.toContain("Cannot cancel");
  });

  test("that comes too late is told, and the result is the real one", async () => {
    await using fake = await aDaemon((answer) => sendError(answer, 409, "cannot cancel: past the point of no return"));
    const cli = bootstrap(fake.daemon);
    const stream = await streamOf(fake.streams, 0);
    sendEvent(stream, "step", step(12, "done", "Write files"));
    await says(cli, "Write files");
    cli.process.kill("SIGINT");
    await says(cli, "past the point of no return");
    sendEvent(stream, "result", sync(result));
    const { code, stdout } = await cli.result;
    expect(code).toBe(0);
    expect(stdout).toContain("Bootstrapped");
  });

  test("for the second time leaves at once", async () => {
    await using fake = await aDaemon();
    const cli = bootstrap(fake.daemon);
    sendEvent(await streamOf(fake.streams, 0), "step", step(1, "done", "Write files"));
    await says(cli, "Write files");
    cli.process.kill("SIGINT");
    await says(cli, "Cancelling");
    cli.process.kill("SIGINT");
    const { code, stdout, stderr } = await cli.result;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("Leaving; k8sd goes on by itself.");
    expect(fake.daemon.received.filter(({ method }) => method === "DELETE")).toHaveLength(1);
  });
});
