import { access, appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

import { silentLog } from "../../../src/host/log.ts";
import type { ServiceManager, ServiceSpec } from "../../../src/host/services.ts";
import { createSystemd } from "../../../src/host/systemd.ts";
import { createTestHost, type TestHost } from "../../support/fake-host.ts";
import { createStandInSystemctl } from "../../support/stand-in-systemctl.ts";

const signal = AbortSignal.timeout(30_000);
const spec: ServiceSpec = {
  name: "kubelet",
  description: "Kubernetes node agent",
  program: "/snap/k8s/current/bin/kubelet",
  args: { "--config": "/etc/kubelet.yaml" },
  env: {},
  after: ["containerd"],
  notifies: false,
  delegates: true,
  kill: "process",
  stopTimeoutSeconds: 5,
};

let host: TestHost;
let systemctl: ReturnType<typeof createStandInSystemctl>;
let services: ServiceManager;
const written = new Set<string>();

beforeEach(async () => {
  host = await createTestHost();
  written.clear();
  systemctl = createStandInSystemctl((unit) => written.has(unit));
  services = createSystemd({ paths: host.paths }, { run: systemctl.run, log: silentLog });
});
afterEach(() => host[Symbol.asyncDispose]());

async function apply(change: Partial<ServiceSpec> = {}): Promise<"unchanged" | "changed"> {
  const result = await services.apply({ ...spec, ...change }, signal);
  written.add("k8s-kubelet.service");
  return result;
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

test("apply writes unit and arguments once, and says when something changed", async () => {
  expect(await apply()).toBe("changed");
  expect(await readFile(join(host.paths.args, "kubelet"), "utf8")).toBe('--config="/etc/kubelet.yaml"\n');
  expect(await readFile(join(host.paths.systemdUnits, "k8s-kubelet.service"), "utf8")).toContain(
    "After=network.target k8s-containerd.service",
  );
  expect(await apply()).toBe("unchanged");
  expect(await apply({ args: { "--config": "/other" } })).toBe("changed");
  expect(await apply({ args: { "--config": "/other" }, stopTimeoutSeconds: 6 })).toBe("changed");
  expect(systemctl.changes).toEqual([]);
});

test("start enables and starts; a second start does nothing", async () => {
  await apply();
  await services.start("kubelet", signal);
  expect(systemctl.changes).toEqual(["enable k8s-kubelet.service", "start k8s-kubelet.service"]);
  await services.start("kubelet", signal);
  expect(systemctl.changes).toHaveLength(2);
  expect(await services.status("kubelet", signal)).toEqual({ state: "running", pid: 42, restarts: 0 });
});

test("systemd reads its files again only when a unit that it knows was changed, once for all", async () => {
  await apply();
  await services.start("kubelet", signal);
  systemctl.unit("k8s-kubelet.service").stale = true;
  systemctl.unit("k8s-other.service").stale = true;
  written.add("k8s-other.service");
  await Promise.all([services.restart("kubelet", signal), services.start("other", signal)]);
  expect(systemctl.changes.filter((change) => change === "daemon-reload")).toEqual(["daemon-reload"]);
});

test("a start that fails says why, with the service's last output", async () => {
  await apply();
  systemctl.failing.add("k8s-kubelet.service");
  await expect(services.start("kubelet", signal)).rejects.toMatchObject({
    message: expect.stringMatching(/^cannot start kubelet: exit code 3; its last output:\nlast words/),
    remedy: "Run 'journalctl -u k8s-kubelet.service' to see its whole output.",
  });
});

test("stop stops and disables; stopping what is not there is done at once", async () => {
  await apply();
  await services.start("kubelet", signal);
  await services.stop("kubelet", signal);
  expect(systemctl.unit("k8s-kubelet.service")).toMatchObject({ active: false, enabled: false });
  const before = systemctl.changes.length;
  await services.stop("nothing", signal);
  await services.stop("kubelet", signal);
  expect(systemctl.changes).toHaveLength(before);
});

test("remove takes back all that apply wrote", async () => {
  await apply({ env: { A: "b" } });
  await services.start("kubelet", signal);
  await services.remove("kubelet", signal);
  expect(systemctl.unit("k8s-kubelet.service").active).toBe(false);
  for (const path of [
    join(host.paths.systemdUnits, "k8s-kubelet.service"),
    join(host.paths.args, "kubelet"),
    join(host.paths.args, "kubelet-env"),
  ]) {
    expect(await exists(path)).toBe(false);
  }
  await services.remove("kubelet", signal);
});

test("a flag that is no longer wanted goes, a flag that the user wrote stays", async () => {
  await apply({ args: { "--a": "1", "--b": "2" } });
  const path = join(host.paths.args, "kubelet");
  await appendFile(path, "--v 4\n");
  await apply({ args: { "--a": "1" } });
  expect(await readFile(path, "utf8")).toBe('--a="1"\n--v 4\n');
});

test("a name that is no service name never becomes a path", async () => {
  await expect(services.apply({ ...spec, name: "../kubelet" }, signal)).rejects.toMatchObject({ kind: "invalid" });
  await expect(services.status("a b", signal)).rejects.toMatchObject({ kind: "invalid" });
});
