import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hostsUnavailable } from "./available.ts";
import { killGroup } from "./exec.ts";
import { createHost } from "./host.ts";
import { createNetwork } from "./network.ts";
import { listStates } from "./record.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const counterUnit = `[Service]
ExecStart=/bin/sh -c 'echo started as $$$$; exec sleep infinity'
Restart=always
RestartSec=50ms
[Install]
WantedBy=multi-user.target
`;

describe.skipIf(reason !== undefined)("a host", () => {
  it("boots with its own name, address, machine id and processes", async () => {
    await using host = await createHost({ name: "n1" });
    expect((await host.run("hostname")).stdout).toBe("n1\n");
    expect((await host.run("systemctl", "is-system-running")).stdout).toBe("running\n");
    expect((await host.run("getent", "hosts", "n1")).stdout).toContain(host.address);
    expect((await host.run("ip", "route")).stdout).toContain(`default via ${host.network.gateway}`);
    expect(await host.readFile("/etc/machine-id")).not.toBe(readFileSync("/etc/machine-id", "utf8"));
    expect((await host.run("cat", "/proc/1/comm")).stdout).toBe("systemd\n");
    await expect(host.run("touch", "/usr/of-the-machine")).rejects.toThrow(/Read-only file system/);
  });

  it("runs services, restarts them and keeps their journal", async () => {
    await using host = await createHost({ name: "n1" });
    await host.writeFile("/etc/systemd/system/counter.service", counterUnit);
    await host.run("systemctl", "daemon-reload");
    await host.run("systemctl", "enable", "--now", "counter");
    await host.run("systemctl", "kill", "--signal=KILL", "counter");
    await expect
      .poll(() => host.run("systemctl", "show", "-P", "NRestarts", "counter").then((r) => r.stdout))
      .toBe("1\n");
    await expect.poll(() => host.journal("counter").then((text) => text.match(/started as/g)?.length)).toBe(2);
  });

  it("keeps /etc and /var over a power cut, starts what is enabled again, and loses /run and /tmp", async () => {
    await using host = await createHost({ name: "n1" });
    await host.writeFile("/etc/systemd/system/counter.service", counterUnit);
    await host.writeFile("/var/lib/kept/file", "kept");
    await host.writeFile("/tmp/lost", "lost");
    await host.run("systemctl", "enable", "--now", "counter");
    await host.run("sync");
    await host.cutPower();
    expect(host.isOn).toBe(false);
    await expect(host.run("true")).rejects.toThrow(/the host is off/);
    expect(await host.readFile("/var/lib/kept/file")).toBe("kept");
    await host.boot();
    expect((await host.run("systemctl", "is-active", "counter")).stdout).toBe("active\n");
    expect((await host.tryRun(["test", "-e", "/tmp/lost"])).exitCode).toBe(1);
    await expect.poll(() => host.journal("counter").then((text) => text.match(/started as/g)?.length)).toBe(2);
  });

  it("lets services stop in order when it is powered off, and not when the power is cut", async () => {
    await using host = await createHost({ name: "n1" });
    const unit =
      "[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/touch /var/stopped\n[Install]\nWantedBy=multi-user.target\n";
    await host.writeFile("/etc/systemd/system/orderly.service", unit);
    await host.run("systemctl", "enable", "--now", "orderly");
    await host.cutPower();
    await expect(host.readFile("/var/stopped")).rejects.toThrow(/ENOENT/);
    await host.boot();
    await host.powerOff();
    expect(await host.readFile("/var/stopped")).toBe("");
  });

  it("stands still while it is frozen and goes on when it thaws", async () => {
    await using host = await createHost({ name: "n1", systemd: false });
    const child = host.spawn(["sh", "-c", "while :; do echo tick; sleep 0.01; done"]);
    let ticks = 0;
    child.stdout.on("data", () => ticks++);
    await expect.poll(() => ticks).toBeGreaterThan(2);
    await host.freeze();
    await expect(host.tryRun(["true"], { timeoutMs: 300 })).rejects.toThrow(/within 300 ms/);
    const whenFrozen = ticks;
    await host.thaw();
    await expect.poll(() => ticks).toBeGreaterThan(whenFrozen + 2);
    killGroup(child);
  });

  it("answers a command with its exit code, input, environment and both outputs", async () => {
    await using host = await createHost({ systemd: false });
    const script = 'cat; echo "$GREETING" >&2; exit 3';
    const result = await host.tryRun(["sh", "-c", script], { stdin: "in", env: { GREETING: "hello you" } });
    expect(result).toEqual({ exitCode: 3, stdout: "in", stderr: "hello you\n" });
    await expect(host.run("sh", "-c", "echo why >&2; exit 4")).rejects.toThrow(/ended with 4\nwhy/);
    expect((await host.run("env")).stdout).not.toContain("VITEST");
  });

  it("ends what ran over its deadline inside the host too", async () => {
    await using host = await createHost({ systemd: false });
    await expect(host.tryRun(["sleep", "4242"], { timeoutMs: 100 })).rejects.toThrow(/within 100 ms/);
    await expect.poll(() => host.run("ps", "ax").then((result) => result.stdout)).not.toContain("sleep 4242");
  });

  it("sees what is bound into it and what is laid over /usr", async () => {
    const dir = await mkdtemp(join(tmpdir(), "k8sd-hosts-test-"));
    await using layers = new AsyncDisposableStack();
    layers.defer(() => rm(dir, { recursive: true }));
    await writeFile(join(dir, "file"), "from the machine");
    const binds = [
      { from: dir, to: "/opt/bound", readOnly: true },
      { from: join(dir, "file"), to: "/run/one-file" },
    ];
    await using host = await createHost({ systemd: false, usrLayers: [dir], binds });
    expect(await host.readFile("/opt/bound/file")).toBe("from the machine");
    expect(await host.readFile("/usr/file")).toBe("from the machine");
    await expect(host.writeFile("/opt/bound/file", "x")).rejects.toThrow(/Read-only file system/);
    await host.writeFile("/run/one-file", "from the host");
    expect(readFileSync(join(dir, "file"), "utf8")).toBe("from the host");
  });

  it("is held to its memory", async () => {
    await using host = await createHost({ systemd: false, memoryMaxBytes: 64 * 1024 * 1024 });
    const eat = await host.tryRun(["sh", "-c", "head -c 200M /dev/zero | tail >/dev/null; exit $?"]);
    expect(eat.exitCode).not.toBe(0);
  });

  it("cannot change what is the machine's, while the kubelet's settings can be written", async () => {
    const before = readFileSync("/proc/sys/kernel/panic", "utf8");
    await using host = await createHost({ systemd: false });
    await expect(host.run("sh", "-c", "echo 7 > /proc/sys/vm/swappiness")).rejects.toThrow(/Read-only/);
    await host.run("sh", "-c", "echo 3 > /proc/sys/kernel/panic");
    await host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward");
    expect(readFileSync("/proc/sys/kernel/panic", "utf8")).toBe(before);
  });

  it("comes five at a time", async () => {
    await using network = await createNetwork();
    const names = ["n1", "n2", "n3", "n4", "n5"];
    await using stack = new AsyncDisposableStack();
    const hosts = await Promise.all(names.map((name) => createHost({ name, network })));
    for (const host of hosts) stack.use(host);
    const states = await Promise.all(hosts.map((host) => host.run("systemctl", "is-system-running")));
    expect(states.map((state) => state.stdout)).toEqual(names.map(() => "running\n"));
    expect(new Set(hosts.map((host) => host.address)).size).toBe(5);
  });

  it.each([1, 60, 120, 200])("can be given up while it boots, after %i ms", async (ms) => {
    await expect(createHost({ name: "given-up", signal: AbortSignal.timeout(ms) })).rejects.toThrow(/given-up|aborted/);
    expect(listStates().filter(({ record }) => record.name.startsWith("given-up"))).toEqual([]);
  });

  it("says why it did not boot, and leaves nothing", async () => {
    const binds = [{ from: "/etc/hostname", to: "/usr/cannot/be/made" }];
    await expect(createHost({ name: "broken", binds })).rejects.toThrow(
      /cannot boot host broken[\s\S]*Read-only file system/,
    );
    expect(listStates().filter(({ record }) => record.name.startsWith("broken"))).toEqual([]);
  });
});
