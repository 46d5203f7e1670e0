import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { PortNeed } from "../../../src/host/host.ts";
import { conflictsError, createPreflight } from "../../../src/host/preflight.ts";
import { createTestHost, type TestHost } from "../../support/fake-host.ts";

const signal = AbortSignal.timeout(30_000);
let host: TestHost;
const cleanups: (() => void)[] = [];
beforeEach(async () => {
  host = await createTestHost();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  await host[Symbol.asyncDispose]();
});

async function listen(address: string): Promise<{ server: Server; port: number }> {
  const server = createServer();
  server.listen(0, address);
  await once(server, "listening");
  cleanups.push(() => server.close());
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("no port");
  return { server, port: bound.port };
}
const need = (port: number, change: Partial<PortNeed> = {}): PortNeed => ({
  port,
  protocol: "tcp",
  service: "kubelet",
  ...change,
});

describe("ports", () => {
  test("that another process holds are named with it, all at once", async () => {
    const script = `const s = require("node:net").createServer().listen(0, "127.0.0.1", () => console.log(s.address().port))`;
    const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    cleanups.push(() => child.kill("SIGKILL"));
    const [chunk] = (await once(child.stdout, "data")) as [Buffer];
    const taken = Number(chunk.toString());
    const { port: own } = await listen("0.0.0.0");
    const conflicts = await host.preflight.ports(
      [need(taken, { field: "--port" }), need(own, { service: "kube-proxy" }), need(0)],
      signal,
    );
    expect(conflicts).toEqual([
      {
        field: "--port",
        message: expect.stringMatching(
          new RegExp(`^port ${taken} \\(needed by: kubelet\\) is already in use by node \\(pid ${child.pid}\\)$`),
        ),
        remedy: expect.stringContaining(`pid ${child.pid}`),
      },
      { message: expect.stringContaining(`(pid ${process.pid})`), remedy: expect.any(String) },
    ]);
  });

  test("that are free give no conflict, also when two addresses share one, and are free afterwards", async () => {
    const { server, port } = await listen("127.0.0.1");
    server.close();
    await once(server, "close");
    const needs = [need(port, { address: "127.0.0.1" }), need(port, { address: "127.0.0.2", service: "etcd" })];
    expect(await host.preflight.ports(needs, signal)).toEqual([]);
    expect(await host.preflight.ports(needs, signal)).toEqual([]);
  });

  test("are looked at where they are needed: the same port on another address is no conflict", async () => {
    const { port } = await listen("127.0.0.1");
    expect(await host.preflight.ports([need(port, { address: "127.0.0.2" })], signal)).toEqual([]);
    expect(await host.preflight.ports([need(port)], signal)).toHaveLength(1);
  });

  test("of datagrams are their own", async () => {
    const socket = createSocket("udp4");
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    cleanups.push(() => socket.close());
    const { port } = socket.address();
    expect(await host.preflight.ports([need(port, { protocol: "udp", address: "127.0.0.1" })], signal)).toEqual([
      expect.objectContaining({ message: expect.stringContaining(`(pid ${process.pid})`) }),
    ]);
  });

  test("two services that are given one port are a conflict before anything listens", async () => {
    const { server, port } = await listen("127.0.0.1");
    server.close();
    await once(server, "close");
    const needs = [need(port), need(port, { service: "etcd", field: "etcd-port", address: "127.0.0.1" })];
    expect(await host.preflight.ports(needs, signal)).toEqual([
      {
        field: "etcd-port",
        message: `port ${port} is needed by kubelet and by etcd`,
        remedy: "Give etcd another port.",
      },
    ]);
  });

  test("on an address of another machine cannot be used", async () => {
    expect(await host.preflight.ports([need(6443, { address: "192.0.2.1" })], signal)).toEqual([
      expect.objectContaining({ message: expect.stringContaining("192.0.2.1 is no address of this machine") }),
    ]);
  });
});

test("directories may be missing, empty, or hold what is ours; everything else is named", async () => {
  const [empty, foreign, ours, file] = ["empty", "foreign", "ours", "file"].map((name) => join(host.root, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const path of [empty, foreign, ours]) await mkdir(path);
  for (const name of ["a", "b", "c", "d", "e"]) await writeFile(join(foreign, name), "");
  await writeFile(join(ours, "known"), "");
  await writeFile(file, "");
  const all = [join(host.root, "missing"), empty, foreign, ours, file];
  const conflicts = await host.preflight.emptyDirectories(all, signal, (path) => path === join(ours, "known"));
  expect(conflicts.map(({ message }) => message)).toEqual([
    `the directory ${foreign} is not empty: it holds a, b, c and 2 more`,
    `${file} is in the way: a directory is needed there`,
  ]);
});

test("programs must be there, not empty, and executable", async () => {
  const path = (name: string): string => join(host.paths.bin, name);
  await writeFile(path("good"), "#!/bin/sh\n", { mode: 0o755 });
  await writeFile(path("empty"), "", { mode: 0o755 });
  await writeFile(path("plain"), "x");
  await chmod(path("plain"), 0o644);
  await mkdir(path("folder"));
  const conflicts = await host.preflight.programs(["good", "empty", "plain", "folder", "missing"].map(path), signal);
  expect(conflicts.map(({ message }) => message)).toEqual([
    expect.stringContaining("empty is empty"),
    expect.stringContaining("plain cannot be executed"),
    expect.stringContaining("folder is not a file"),
    expect.stringContaining("missing is missing"),
  ]);
});

describe("the system", () => {
  test("all that is missing is reported at once", async () => {
    await writeFile(
      join(host.root, "cgroups"),
      "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\ncpuset\t1\t1\t1\nmemory\t0\t1\t0\npids\t2\t1\t1\n",
    );
    const preflight = createPreflight({ proc: host.root, cgroupMount: host.root, cgroups: "v1" }, { uid: () => 1000 });
    const conflicts = await preflight.system(
      { freeDisk: [{ path: join(host.root, "not/there"), bytes: 2 ** 60 }] },
      signal,
    );
    expect(conflicts.map(({ message }) => message)).toEqual([
      "the daemon runs as user 1000, not as root",
      "the kernel gives no control group controller for memory",
      expect.stringMatching(/has \d+ MiB of free disk space, 1099511627776 MiB are needed$/),
    ]);
    expect(conflictsError("bootstrap", conflicts)).toMatchObject({
      kind: "conflict",
      message: expect.stringContaining("; the kernel"),
    });
  });

  test("that has all is no conflict", async () => {
    await writeFile(join(host.root, "cgroup.controllers"), "cpuset cpu io memory hugetlb pids\n");
    const preflight = createPreflight({ proc: "/proc", cgroupMount: host.root, cgroups: "v2" }, { uid: () => 0 });
    expect(await preflight.system({ freeDisk: [{ path: host.root, bytes: 1 }] }, signal)).toEqual([]);
  });
});
