import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { silentLog } from "../../../src/host/log.ts";
import type { ServiceSpec } from "../../../src/host/services.ts";
import { createSupervisor, type Supervisor } from "../../../src/host/supervisor.ts";
import { createTestHost, type TestHost } from "../../support/fake-host.ts";

const runService = fileURLToPath(new URL("../../../../../snap/bin/run-service", import.meta.url));
const signal = AbortSignal.timeout(60_000);
const onShutdown = vi.fn();

let host: TestHost;
let supervisor: Supervisor;

beforeEach(async () => {
  host = await createTestHost();
  onShutdown.mockReset();
  supervisor = create();
});
afterEach(async () => {
  // Whatever a test left running ends here.
  for (const name of await readdir(host.paths.supervisor.processes).catch(() => []))
    await supervisor.stop(name, signal);
  await supervisor[Symbol.asyncDispose]();
  await host[Symbol.asyncDispose]();
});

function create(startedAfterMs = 100): Supervisor {
  return createSupervisor({ paths: { ...host.paths, runService }, startedAfterMs }, { log: silentLog, onShutdown });
}

function spec(name: string, change: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    name,
    description: name,
    program: join(host.paths.bin, name),
    args: {},
    env: {},
    after: [],
    notifies: false,
    delegates: false,
    kill: "group",
    stopTimeoutSeconds: 5,
    ...change,
  };
}

async function program(name: string, script: string): Promise<void> {
  await writeFile(join(host.paths.bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

async function layer(name: string, text: string): Promise<void> {
  await mkdir(host.paths.supervisor.layers, { recursive: true });
  await writeFile(join(host.paths.supervisor.layers, name), text);
}

/** A process that ended and waits to be looked at by its parent is dead. */
const isAlive = (pid: number | undefined): boolean => {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

async function started(name: string, script = "exec sleep 300", change: Partial<ServiceSpec> = {}): Promise<number> {
  await program(name, script);
  await supervisor.apply(spec(name, change), signal);
  await supervisor.start(name, signal);
  const { pid } = await supervisor.status(name, signal);
  if (pid === undefined) throw new Error("it has no pid");
  return pid;
}

describe("a service", () => {
  test("runs with its arguments and environment until it is stopped", async () => {
    const pid = await started("svc", 'echo "$1 $X"; exec sleep 300', { args: { "--a": "b $HOME" }, env: { X: "y z" } });
    expect(await supervisor.status("svc", signal)).toEqual({ state: "running", pid, restarts: 0 });
    expect(await supervisor.logs("svc", 5, signal)).toEqual(["--a=b $HOME y z"]);
    await supervisor.start("svc", signal);
    expect((await supervisor.status("svc", signal)).pid).toBe(pid);
    await supervisor.stop("svc", signal);
    expect(isAlive(pid)).toBe(false);
    expect(await supervisor.status("svc", signal)).toEqual({ state: "stopped" });
    await supervisor.stop("svc", signal);
  });

  test("that is applied again is unchanged, and keeps running", async () => {
    const pid = await started("svc");
    expect(await supervisor.apply(spec("svc"), signal)).toBe("unchanged");
    expect(await supervisor.apply(spec("svc", { args: { "--a": "1" } }), signal)).toBe("changed");
    expect((await supervisor.status("svc", signal)).pid).toBe(pid);
    await supervisor.restart("svc", signal);
    expect(isAlive(pid)).toBe(false);
    expect((await supervisor.status("svc", signal)).state).toBe("running");
  });

  test("that is killed comes back, and its leftovers are gone first", async () => {
    const pid = await started("svc", "sleep 300 & echo $!; exec sleep 300");
    const leftover = Number((await supervisor.logs("svc", 1, signal))[0]);
    expect(isAlive(leftover)).toBe(true);
    process.kill(pid, "SIGKILL");
    await expect
      .poll(() => supervisor.status("svc", signal), { timeout: 10_000 })
      .toMatchObject({ state: "running", restarts: 1 });
    expect((await supervisor.status("svc", signal)).pid).not.toBe(pid);
    await expect.poll(() => isAlive(leftover)).toBe(false);
  });

  test("that ends at once: the start says why and what it printed, and it is tried again", async () => {
    await program("svc", "echo no configuration; exit 3");
    await supervisor.apply(spec("svc"), signal);
    await expect(supervisor.start("svc", signal)).rejects.toMatchObject({
      kind: "unavailable",
      message: "cannot start svc: exit code 3; its last output:\nno configuration",
    });
    expect(await supervisor.status("svc", signal)).toMatchObject({ state: "starting", reason: "exit code 3" });
    await program("svc", "exec sleep 300");
    await expect.poll(() => supervisor.status("svc", signal), { timeout: 10_000 }).toMatchObject({ state: "running" });
  });

  test("that does not listen is killed after its delay, with its children", async () => {
    const stubborn = "trap '' TERM; while :; do sleep 0.1; done";
    const pid = await started("svc", `(${stubborn}) & echo $!; ${stubborn}`, { stopTimeoutSeconds: 1 });
    const child = Number((await supervisor.logs("svc", 1, signal))[0]);
    expect(isAlive(child)).toBe(true);
    const start = performance.now();
    await supervisor.stop("svc", signal);
    expect(performance.now() - start).toBeGreaterThan(900);
    expect([pid, child].map(isAlive)).toEqual([false, false]);
  });

  test("that is removed leaves nothing", async () => {
    await started("svc", "exec sleep 300", { args: { "--a": "1" } });
    await supervisor.remove("svc", signal);
    expect(await readdir(host.paths.args)).toEqual([]);
    expect(await readFile(join(host.paths.supervisor.layers, "001-k8s.yaml"), "utf8")).not.toContain("svc");
    await expect(supervisor.start("svc", signal)).rejects.toMatchObject({ kind: "not-found" });
  });
});

describe("a later daemon", () => {
  test("takes over what runs, ends what should not, starts what should", async () => {
    const kept = await started("kept");
    const unwanted = await started("unwanted");
    const lost = await started("lost");
    await supervisor[Symbol.asyncDispose]();
    expect([kept, unwanted, lost].map(isAlive)).toEqual([true, true, true]);
    process.kill(lost, "SIGKILL");
    await expect.poll(() => isAlive(lost)).toBe(false);
    const path = join(host.paths.supervisor.layers, "900-site.yaml");
    await writeFile(path, "services: {unwanted: {override: merge, startup: disabled}}\n");

    supervisor = create();
    await supervisor.resume(signal);
    expect(await supervisor.status("kept", signal)).toEqual({ state: "running", pid: kept, restarts: 0 });
    expect(isAlive(unwanted)).toBe(false);
    const again = await supervisor.status("lost", signal);
    expect(again.state).toBe("running");
    expect(again.pid).not.toBe(lost);

    process.kill(kept, "SIGKILL");
    await expect
      .poll(() => supervisor.status("kept", signal), { timeout: 10_000 })
      .toMatchObject({ state: "running", restarts: 1 });
  });

  test("finds the services of one that was killed", async () => {
    await program("svc", "exec sleep 300");
    const module = new URL("../../../src/host/supervisor.ts", import.meta.url).href;
    const script = `
      import { createSupervisor } from ${JSON.stringify(module)};
      const log = { debug() {}, info() {}, warn() {} };
      const supervisor = createSupervisor({ paths: ${JSON.stringify({ ...host.paths, runService })}, startedAfterMs: 50 }, { log });
      const signal = AbortSignal.timeout(30000);
      await supervisor.apply(${JSON.stringify(spec("svc"))}, signal);
      await supervisor.start("svc", signal);
      console.log((await supervisor.status("svc", signal)).pid);
      process.kill(process.pid, "SIGKILL");
    `;
    const { stdout, signal: end } = await execa(process.execPath, ["--input-type=module-typescript", "-e", script], {
      reject: false,
    });
    expect(end).toBe("SIGKILL");
    const pid = Number(stdout);
    expect(isAlive(pid)).toBe(true);
    await supervisor.resume(signal);
    expect(await supervisor.status("svc", signal)).toMatchObject({ state: "running", pid });
    await supervisor.stop("svc", signal);
    expect(isAlive(pid)).toBe(false);
  });

  test("does not mistake another process for its own", async () => {
    const pid = await started("svc");
    const path = join(host.paths.supervisor.processes, "svc");
    const [boot, stat = ""] = (await readFile(path, "utf8")).split("\n");
    await supervisor.stop("svc", signal);
    // This process has the recorded number, but another start time.
    await writeFile(path, `${boot}\n${stat.replace(String(pid), String(process.pid))}\n`);
    await supervisor[Symbol.asyncDispose]();
    supervisor = create();
    await supervisor.stop("svc", signal);
    expect(await readdir(host.paths.supervisor.processes)).toEqual([]);
  });
});

describe("layers of the user's", () => {
  test("start what is required first and say what happens when a service ends", async () => {
    await layer(
      "500-site.yaml",
      `services:
  base: {override: replace, command: sleep 300}
  job: {override: replace, command: "sh -c 'exit 0'", on-success: ignore}
  vital: {override: replace, command: "sh -c 'sleep 0.3; exit 4'", requires: [base], on-failure: shutdown}
`,
    );
    await supervisor.start("vital", signal);
    expect((await supervisor.status("base", signal)).state).toBe("running");
    await expect.poll(() => onShutdown.mock.calls, { timeout: 5_000 }).toEqual([["failure", "vital"]]);
    expect(await supervisor.status("vital", signal)).toMatchObject({ state: "failed", reason: "exit code 4" });
    await expect(supervisor.start("job", signal)).rejects.toMatchObject({ message: "cannot start job: exit code 0" });
    expect(await supervisor.status("job", signal)).toMatchObject({ state: "stopped" });
  });

  test("check their services and restart those whose check is down", async () => {
    let healthy = true;
    const server = createServer((_request, response) => response.writeHead(healthy ? 204 : 503).end());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await layer(
      "500-site.yaml",
      `services:
  svc: {override: replace, command: sleep 300, on-check-failure: {web: restart}}
checks:
  web: {override: replace, period: 50ms, threshold: 2, http: {url: "http://127.0.0.1:${port}/"}}
  port: {override: replace, period: 50ms, threshold: 1, tcp: {host: 127.0.0.1, port: ${port}}}
  fails: {override: replace, period: 50ms, threshold: 1, exec: {command: "sh -c 'echo reason >&2; exit 1'"}}
`,
    );
    try {
      await supervisor.start("svc", signal);
      const { pid } = await supervisor.status("svc", signal);
      await expect.poll(() => supervisor.checks().get("fails")?.state, { timeout: 5_000 }).toBe("down");
      expect(supervisor.checks().get("fails")?.reason).toContain("reason");
      expect(supervisor.checks().get("web")?.state).toBe("up");
      expect(supervisor.checks().get("port")?.state).toBe("up");
      healthy = false;
      await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
      healthy = true;
      await expect.poll(() => supervisor.checks().get("web")?.state, { timeout: 5_000 }).toBe("up");
      await expect.poll(() => supervisor.status("svc", signal), { timeout: 5_000 }).toMatchObject({ state: "running" });
    } finally {
      server.close();
    }
  });

  test("with one number twice are refused", async () => {
    await layer("500-aaa.yaml", "");
    await layer("500-bbb.yaml", "");
    await expect(supervisor.resume(signal)).rejects.toMatchObject({
      kind: "conflict",
      message: expect.stringContaining("500-aaa.yaml"),
    });
  });

  test("that cannot be read stop nothing from being stopped and removed", async () => {
    const pid = await started("svc");
    await layer("500-site.yaml", "services: {svc: {override: merge, unknown: 1}}");
    await expect(supervisor.restart("svc", signal)).rejects.toMatchObject({
      kind: "invalid",
      field: expect.stringContaining("500-site.yaml"),
    });
    expect(isAlive(pid)).toBe(true);
    await supervisor.remove("svc", signal);
    expect(isAlive(pid)).toBe(false);
  });
});
