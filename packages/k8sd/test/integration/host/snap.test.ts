import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

import { silentLog } from "../../../src/host/log.ts";
import { createRun } from "../../../src/host/run.ts";
import type { ServiceManager, ServiceSpec } from "../../../src/host/services.ts";
import { createSnapServices } from "../../../src/host/snap.ts";
import { createTestHost, type TestHost } from "../../support/fake-host.ts";

/** A stand-in for snapctl: two services, their state in files, every change written down. Real snapd is met elsewhere. */
const snapctl = (directory: string): string => `#!/bin/sh
cd ${directory}
case $1 in
  services)
    echo "Service              Startup   Current   Notes"
    for s in kubelet containerd; do
      read -r startup current <$s 2>/dev/null || { startup=disabled current=inactive; }
      echo "k8s_two.$s      $startup  $current  -"
    done
    exit 0 ;;
esac
echo "$*" >>calls
for last; do :; done
service=\${last#k8s_two.}
case $1 in
  start) echo enabled active >$service ;;
  stop) echo disabled inactive >$service ;;
  restart) if [ -e broken ]; then echo "error: cannot perform the following tasks: start failed" >&2; exit 1; fi ;;
esac
`;

const signal = AbortSignal.timeout(30_000);
const spec: ServiceSpec = {
  name: "kubelet",
  description: "",
  program: "/snap/k8s/current/bin/kubelet",
  args: { "--config": "/a b" },
  env: {},
  after: [],
  notifies: false,
  delegates: false,
  kill: "group",
  stopTimeoutSeconds: 5,
};

let host: TestHost;
let services: ServiceManager;

beforeEach(async () => {
  host = await createTestHost();
  await writeFile(join(host.paths.bin, "snapctl"), snapctl(host.root), { mode: 0o755 });
  const run = createRun({ PATH: `${host.paths.bin}:${process.env.PATH}` });
  services = createSnapServices({ paths: host.paths, instance: "k8s_two" }, { run, log: silentLog });
});
afterEach(() => host[Symbol.asyncDispose]());

const calls = async (): Promise<string[]> =>
  (await readFile(join(host.root, "calls"), "utf8").catch(() => "")).split("\n").filter(Boolean);

test("services are started, restarted and stopped under the name of the snap's instance, each only when needed", async () => {
  expect(await services.apply(spec, signal)).toBe("changed");
  expect(await services.apply(spec, signal)).toBe("unchanged");
  expect(await readFile(join(host.paths.args, "kubelet"), "utf8")).toBe('--config="/a b"\n');
  await services.start("kubelet", signal);
  await services.start("kubelet", signal);
  expect(await services.status("kubelet", signal)).toEqual({ state: "running" });
  await services.restart("kubelet", signal);
  await services.stop("kubelet", signal);
  await services.stop("kubelet", signal);
  expect(await services.status("kubelet", signal)).toEqual({ state: "stopped" });
  expect(await calls()).toEqual([
    "start --enable k8s_two.kubelet",
    "restart k8s_two.kubelet",
    "stop --disable k8s_two.kubelet",
  ]);
});

test("a restart of a stopped service also starts it at the next boot", async () => {
  await services.restart("kubelet", signal);
  expect(await calls()).toEqual(["start --enable k8s_two.kubelet"]);
});

test("what snapd says is in the error", async () => {
  await services.start("kubelet", signal);
  await writeFile(join(host.root, "broken"), "");
  await expect(services.restart("kubelet", signal)).rejects.toMatchObject({
    message:
      "cannot run snapctl restart k8s_two.kubelet: exit code 1: error: cannot perform the following tasks: start failed",
  });
});

test("an enabled service that does not run has failed", async () => {
  await writeFile(join(host.root, "containerd"), "enabled inactive\n");
  expect(await services.status("containerd", signal)).toMatchObject({ state: "failed" });
});

test("a service that the snap does not have is stopped and cannot be started", async () => {
  await services.stop("etcd", signal);
  expect(await services.status("etcd", signal)).toEqual({ state: "stopped", reason: "not installed" });
  await expect(services.start("etcd", signal)).rejects.toMatchObject({
    kind: "not-found",
    remedy: expect.stringContaining("snap refresh"),
  });
  expect(await calls()).toEqual([]);
});
