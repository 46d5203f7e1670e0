import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { becomesReady, bootstrap, k8s, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { scanHost } from "../../hosts/scan.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { webImage } from "../../kubernetes/images/names.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const pod = `
apiVersion: v1
kind: Pod
metadata: { name: web }
spec:
  containers:
    - { name: web, image: "${webImage}", imagePullPolicy: IfNotPresent, volumeMounts: [{ name: memory, mountPath: /memory }] }
  volumes: [{ name: memory, emptyDir: { medium: Memory } }]
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80 }] }
`;

/** A package manager stops the services, runs the hook, and deletes the package's own files. */
describe.skipIf(reason !== undefined)("a package that goes without a word", () => {
  let host: Host;
  let before: HostSnapshot;

  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests() });
    before = await host.snapshot();
    await bootstrap(host);
    await becomesReady(host, "120s");
    await host.writeFile("/run/pod.yaml", pod);
    // Not before there is the service account that every Pod has.
    const apply = () => kubectl(host, "apply", "-f", "/run/pod.yaml");
    await vi.waitFor(apply, { timeout: 60_000, interval: 1_000 });
    await kubectl(host, "wait", "pod/web", "--for=condition=Ready", "--timeout=120s");
    await host.run("rm", "/run/pod.yaml");
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  test("is told that the node still works, and what to do, as long as it does", async () => {
    const { exitCode, stderr } = await k8s(host, ["x-cleanup", "containerd"]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/cannot clean up the containerd of this node: its containerd runs\. Run 'k8s leave' first/);
    expect(await kubectl(host, "get", "pod", "web", "-o", "jsonpath={.status.phase}")).toBe("Running");
  });

  test("leaves nothing behind: no process, mount, interface, route, rule or file", async () => {
    await host.run("systemctl", "stop", "k8sd", "k8s-*");
    const hook = await readFile(join(import.meta.dirname, "../../../snap/hooks/remove"), "utf8");
    await host.writeFile("/run/remove", hook, 0o755);
    const snap = ["SNAP=/snap/k8s/current", "SNAP_COMMON=/var/snap/k8s/common"];
    const { exitCode, stderr } = await host.tryRun(["env", ...snap, "/run/remove"], { timeoutMs: 300_000 });
    expect(exitCode, stderr).toBe(0);
    expect(stderr).toContain("This node did not leave its cluster.");
    expect(stderr).not.toContain("Not all");
    // Again is no error.
    for (const part of ["containers", "network", "containerd", "files"]) {
      expect(await k8s(host, ["x-cleanup", part])).toMatchObject({ exitCode: 0 });
    }
    await host.run("rm", "/run/remove");
    await host.run("sh", "-c", "rm -rf /var/snap/k8s /etc/systemd/system/k8s* /etc/systemd/system/*.wants/k8s*");
    await host.run("systemctl", "daemon-reload");
    await host.tryRun(["systemctl", "reset-failed", "k8s*"]);
    // kubectl's own, of whoever called it.
    await host.run("rm", "-rf", "/root/.kube");
    // The daemon was there before. The kernel takes interfaces away when it has the time.
    const daemon = /^- (process (node|MainThread)$|.*(snap\/k8s|k8sd))/;
    const left = async () => (await scanHost(host, before)).filter((line) => !daemon.test(line));
    await expect.poll(left, { timeout: 60_000, interval: 2_000 }).toEqual([]);
  });
});
