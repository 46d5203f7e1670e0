import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hostsUnavailable } from "./available.ts";
import { createHost } from "./host.ts";
import { findTestComponents } from "./test-layer.ts";

const components = findTestComponents();
const reason =
  hostsUnavailable() ??
  (components === undefined ? "no components; make them with test/kubernetes/main.ts" : undefined);
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("a host with containerd", () => {
  it("runs containers, keeps them to their memory, and takes them along when its power is cut", async () => {
    const root = components ?? "";
    const image = "localhost/k8sd/web:1";
    const binds = ["bin", "images"].map((dir) => ({ from: join(root, dir), to: `/opt/k8s/${dir}`, readOnly: true }));
    await using host = await createHost({ name: "n1", usrLayers: [join(root, "usr")], binds });
    const path = "PATH=/opt/k8s/bin:/usr/local/bin:/usr/sbin:/usr/bin";
    const unit = `[Service]\nType=notify\nEnvironment=${path}\nExecStart=/opt/k8s/bin/containerd\nDelegate=yes\nKillMode=process\n`;
    await host.writeFile("/etc/systemd/system/containerd.service", unit);
    await host.run("systemctl", "start", "containerd");
    const ctr = (...argv: string[]) => host.run(path, "ctr", ...argv);
    await ctr("image", "import", "/opt/k8s/images/web.tar");
    const cgroup = ["--runc-systemd-cgroup", "--cgroup", "system.slice:ctr:c1"];
    const hello = await ctr("run", "--rm", ...cgroup, image, "c1", "/bin/busybox", "sh", "-c", "echo process $$");
    expect(hello.stdout).toBe("process 1\n");
    const eat = ["/bin/busybox", "sh", "-c", "/bin/busybox tail /dev/zero"];
    const greedy = await host.tryRun([path, "ctr", "run", "--rm", "--memory-limit", "16777216", image, "c2", ...eat]);
    expect(greedy.exitCode).toBe(137);
    await ctr("run", "--detach", image, "c3", "/bin/busybox", "sleep", "1000");
    expect((await ctr("task", "list")).stdout).toMatch(/c3 +\d+ +RUNNING/);
    await host.cutPower();
    await host.boot();
    await host.run("systemctl", "start", "containerd");
    expect((await ctr("task", "list")).stdout).not.toContain("RUNNING");
    expect((await ctr("container", "list")).stdout).toContain("c3");
    expect(existsSync(join(host.root, "var/lib/containerd"))).toBe(true);
  });
});
