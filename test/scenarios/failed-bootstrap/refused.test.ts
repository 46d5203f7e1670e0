import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { killGroup } from "../../hosts/exec.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { expectClean, failedBootstrap } from "./attempt.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** Files of somebody else that are in the way, and what the error says of each. */
const foreignFiles: readonly { readonly path: string; readonly says: string }[] = [
  { path: "/etc/kubernetes/pki/ca.crt", says: "/etc/kubernetes/pki is not empty: it holds ca.crt" },
  { path: "/etc/kubernetes/admin.conf", says: "/etc/kubernetes/admin.conf" },
  { path: "/etc/containerd/config.toml", says: "/etc/containerd/config.toml" },
  { path: "/var/snap/k8s/common/var/lib/etcd/member/wal/0.wal", says: "var/lib/etcd is not empty: it holds member" },
  {
    path: "/var/snap/k8s/common/var/lib/k8s-datastore/state.db",
    says: "k8s-datastore is not empty: it holds state.db",
  },
  { path: "/run/containerd/task/x", says: "/run/containerd is not empty: it holds task" },
];
/** What is made for them, to be removed again. */
const foreignParents = ["/etc/kubernetes", "/etc/containerd", "/var/snap/k8s/common/var/lib", "/run/containerd"];

describe.skipIf(reason !== undefined)("bootstrap on a host that is not free", () => {
  let host: Host;
  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests() });
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  /** One program that holds these ports; the promise gives its process id in the host. */
  async function listen(ports: readonly string[]) {
    const code = `for (const port of process.argv.slice(1)) {
      const [host, number] = port.includes(":") ? port.split(":") : ["0.0.0.0", port];
      require("node:net").createServer().listen(Number(number), host);
    }
    setTimeout(() => console.log(process.pid), 200);`;
    const child = host.spawn(["/snap/k8s/current/bin/node", "-e", code, ...ports]);
    const [pid] = (await once(child.stdout, "data")) as [Buffer];
    return { pid: pid.toString().trim(), [Symbol.asyncDispose]: () => ended(child) };
  }
  async function ended(child: ReturnType<Host["spawn"]>): Promise<void> {
    const exit = once(child, "exit");
    killGroup(child);
    await exit;
  }

  test("taken ports: all of them are named, each with its owner", async () => {
    await using first = await listen(["6400", "127.0.0.1:10248"]);
    await using second = await listen(["127.0.0.1:2379", "6443"]);
    const before = await host.snapshot();
    const { stderr, seconds } = await failedBootstrap(host);
    for (const [port, service, owner] of [
      [6400, "k8sd", first.pid],
      [10248, "kubelet", first.pid],
      [2379, "k8s-datastore", second.pid],
      [6443, "kube-apiserver", second.pid],
    ] as const) {
      expect(stderr).toContain(`port ${port} (needed by: ${service}) is already in use by node (pid ${owner})`);
    }
    expect(stderr).toContain(`Stop node (pid ${first.pid})`);
    expect(seconds).toBeLessThan(10);
    await expectClean(host, before);
  });

  describe("that has files of somebody else", () => {
    let clean: HostSnapshot;
    let before: HostSnapshot;
    beforeAll(async () => {
      clean = await host.snapshot();
    });

    const write = async ({ path }: { path: string }): Promise<void> => {
      await host.run("mkdir", "-p", path.slice(0, path.lastIndexOf("/")));
      await host.run("sh", "-c", `echo of somebody else >${path}`);
    };

    test.each(foreignFiles)("$path is named", async (file) => {
      await write(file);
      const { stderr } = await failedBootstrap(host);
      expect(stderr).toContain(file.says);
      expect(stderr).toContain("k8s never deletes files that it did not create");
      await host.run("rm", file.path);
    });

    test("all of them are named at once, and none is touched", async () => {
      for (const file of foreignFiles) await write(file);
      before = await host.snapshot();
      const { stderr } = await failedBootstrap(host);
      for (const { says } of foreignFiles) expect(stderr).toContain(says);
      await expectClean(host, before);
      for (const { path } of foreignFiles) expect((await host.run("cat", path)).stdout).toBe("of somebody else\n");
    });

    test("nothing is left when they are gone", async () => {
      const added = (before.file ?? [])
        .filter((line) => !clean.file?.includes(line))
        .map((line) => line.split(" ")[0] ?? "")
        .filter((path) => foreignParents.some((parent) => path.startsWith(parent)));
      await host.run("rm", "-r", "-f", ...added);
      await expectClean(host, clean);
    });
  });

  test("a missing program: named, with what to do", async () => {
    const program = "/snap/k8s/current/bin/kube-scheduler";
    const before = await host.snapshot();
    await host.run("mount", "--bind", "/dev/null", program);
    const { stderr } = await failedBootstrap(host);
    await host.run("umount", program);
    expect(stderr).toContain(program);
    expect(stderr).toContain("Install the complete set of programs again.");
    await expectClean(host, before);
  });

  test("not as root: the user is told before the daemon is asked", async () => {
    const before = await host.snapshot();
    const { exitCode, stderr } = await host.tryRun(["setpriv", "--reuid=65534", "--clear-groups", "k8s", "bootstrap"]);
    expect(stderr).toBe("You do not have enough permissions. Please re-run the command with sudo.\n");
    expect(exitCode).toBe(1);
    await expectClean(host, before);
  });

  test("works when all of that is gone, beside files that are in nobody's way", async () => {
    await host.writeFile("/etc/kubernetes/audit-policy.yaml", "of somebody else\n");
    await bootstrap(host);
    await becomesReady(host);
    expect(await host.readFile("/etc/kubernetes/audit-policy.yaml")).toBe("of somebody else\n");
    const again = await k8s(host, ["bootstrap"]);
    expect(again.stderr).toBe("Error: The node is already part of a cluster\n");
    expect(again.exitCode).toBe(1);
  });
});
