import { withEngine } from "@k8sd/k8sd/cluster/migrate/engines.ts";
import { type MigrateStep, type MovableEngine, planMigrate } from "@k8sd/k8sd/cluster/migrate/plan.ts";
import { expect } from "vitest";
import { aBootstrapInput } from "../../../packages/k8sd/test/support/bootstrap-input.ts";
import { becomesReady, k8s } from "../../expect-node.ts";
import { killGroup } from "../../hosts/exec.ts";
import type { Host } from "../../hosts/types.ts";
import { callDaemon } from "../../node.ts";
import { etcdctl } from "../recover/three.ts";

export type Engine = "sqlite" | "etcd" | "external";

export const other = (engine: Engine): Engine => (engine === "sqlite" ? "etcd" : "sqlite");

const units: Readonly<Record<Engine, string>> = {
  sqlite: "k8s-k8s-datastore",
  etcd: "k8s-etcd",
  external: "k8s-k8s-datastore",
};
const data = {
  sqlite: "/var/snap/k8s/common/var/lib/k8s-datastore",
  etcd: "/var/snap/k8s/common/var/lib/etcd/data",
};

const pki = "/etc/kubernetes/pki";
const command = [
  "/snap/k8s/current/bin/etcdctl --endpoints https://127.0.0.1:2379",
  `--cacert ${pki}/etcd/ca.crt --cert ${pki}/apiserver-etcd-client.crt --key ${pki}/apiserver-etcd-client.key`,
].join(" ");

/** The steps of a migration of a cluster without Kubernetes. */
export function migrationTo(engine: MovableEngine) {
  const before = aBootstrapInput({ kubernetes: false });
  const ports = { source: 0, target: 0 };
  const after = withEngine(before, engine);
  return planMigrate({ nodeId: "", clusterId: "", before, after, ports }, {}, "generated");
}

/** Its place in the plan of a migration. */
export function stepOf(kind: MigrateStep["kind"]): number {
  return migrationTo("etcd").steps.findIndex((step) => step.kind === kind);
}

/** @param given of an external datastore, as in a bootstrap configuration. */
export function migrate(host: Host, to: Engine, given?: string) {
  const file = given === undefined ? [] : ["--file", "-"];
  const stdin = given === undefined ? {} : { stdin: given };
  return k8s(host, ["datastore", "migrate", "--to", to, "--timeout", "180s", ...file], stdin);
}

/** Migrates, and fails the test with all that was printed when that does not work. */
export async function migrates(
  host: Host,
  to: Engine,
  given?: string,
): Promise<{ readonly pauseMs: number; readonly steps: string }> {
  const { exitCode, stdout, stderr } = await migrate(host, to, given);
  if (exitCode !== 0) {
    const log = (await host.journal("k8sd")).split("\n").slice(-20).join("\n");
    throw new Error(`${stdout}${stderr}\n${log}`);
  }
  const [, pauseMs = "NaN"] = /writes were paused for (\d+) ms/.exec(stderr) ?? [];
  return { pauseMs: Number(pauseMs), steps: stderr };
}

interface Report {
  readonly engine: string;
  readonly endpoints: readonly string[];
  readonly problem?: string;
  readonly revision?: number;
}

export async function report(host: Host): Promise<Report> {
  const { stdout, stderr } = await k8s(host, ["datastore", "status", "--output-format", "json"]);
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as Report;
}

/** The node works on this engine, every record says so, and of the other one nothing is left. */
export async function isOn(host: Host, engine: Engine): Promise<void> {
  await becomesReady(host);
  const { problem, ...status } = await report(host);
  expect([problem, status.engine]).toEqual([undefined, engine]);
  const { metadata } = await callDaemon(host, "GET", "/1.0/k8sd/cluster/config");
  expect(metadata).toMatchObject({ datastore: { type: engine } });
  for (const unit of ["k8s-k8s-datastore", "k8s-k8s-datastore-new", "k8s-etcd"]) {
    const { stdout } = await host.tryRun(["systemctl", "is-active", unit]);
    expect([unit, stdout.trim()]).toEqual([unit, unit === units[engine] ? "active" : "inactive"]);
  }
  for (const each of ["sqlite", "etcd"] as const) {
    const { stdout } = await host.tryRun(["ls", "-A", data[each]]);
    expect([each, stdout.trim() !== ""]).toEqual([each, each === engine]);
  }
  const exists = async (path: string) => (await host.tryRun(["test", "-e", path])).exitCode === 0;
  expect(await exists("/var/snap/k8s/common/var/lib/etcd/migration")).toBe(false);
  expect(await exists("/var/snap/k8s/common/var/lib/k8sd/state/datastore-url")).toBe(engine === "external");
}

/** Keys of a test, as many as wanted; how long a value is does not matter here. */
export async function fill(host: Host, keys: number): Promise<void> {
  for (let at = 0; at < keys; at += 100) {
    const puts = Array.from(
      { length: Math.min(100, keys - at) },
      (_, i) => `put /registry/test/${at + i} ${"v".repeat(500)}\n`,
    );
    await host.writeFile("/var/tmp/fill", `\n${puts.join("")}\n\n`);
    await host.run("sh", "-c", `${command} txn < /var/tmp/fill > /dev/null`);
  }
}

/** What a client finds below /registry/test, in one number. */
export async function contentHash(host: Host): Promise<string> {
  const { stdout } = await host.run("sh", "-c", `${command} get --prefix /registry/test/ | sha256sum`);
  return stdout.trim();
}

export interface Writing {
  /** Ends it; every write that was acknowledged must be there. @param ctl default: where an engine of ours serves */
  ends(ctl?: (...argv: string[]) => Promise<string>): Promise<number>;
}

/** One write after the other, each into a key of its own; those that were acknowledged are on the host's disk. */
export async function write(host: Host): Promise<Writing> {
  const script = [
    "i=0; rm -f /var/tmp/write-stop; : > /var/tmp/acknowledged",
    "while ! test -e /var/tmp/write-stop; do i=$((i+1))",
    `${command} put /registry/load/$i $i > /dev/null 2>&1 && echo $i >> /var/tmp/acknowledged`,
    "done",
  ].join("\n");
  await host.writeFile("/var/tmp/write.sh", script);
  await host.run("sh", "-c", "setsid sh /var/tmp/write.sh > /dev/null 2>&1 < /dev/null &");
  return {
    ends: async (ctl = (...argv) => etcdctl(host, ...argv)) => {
      await host.run("touch", "/var/tmp/write-stop");
      const runs = async () => (await host.tryRun(["pgrep", "-f", "/var/tmp/write.sh"])).exitCode;
      await expect.poll(runs, { timeout: 30_000 }).toBe(1);
      const acknowledged = (await host.readFile("/var/tmp/acknowledged")).split("\n").filter((line) => line !== "");
      const found = new Set((await ctl("get", "--prefix", "/registry/load/", "--print-value-only")).split("\n"));
      expect(acknowledged.filter((value) => !found.has(value))).toEqual([]);
      await ctl("del", "--prefix", "/registry/load/");
      return acknowledged.length;
    },
  };
}

/** Nothing is lost that a client wrote meanwhile, and revisions go on rising; gives the pause of writes in milliseconds. */
export async function migratesUnderLoad(host: Host, to: Engine, from = other(to), given?: string): Promise<number> {
  await isOn(host, from);
  const content = await contentHash(host);
  const { revision: seen = 0 } = await report(host);
  const writing = await write(host);
  const { pauseMs, steps } = await migrates(host, to, given);
  const writes = await writing.ends();
  console.info(`to ${to}: writes paused for ${pauseMs} ms, ${writes} writes by a client\n${steps}`);
  expect(writes).toBeGreaterThan(10);
  expect(await contentHash(host)).toBe(content);
  await isOn(host, to);
  expect((await report(host)).revision).toBeGreaterThan(seen);
  return pauseMs;
}

/** Somebody else listens where members of etcd find each other. */
export async function peerPortTaken(host: Host): Promise<AsyncDisposable> {
  const listener = host.spawn(["python3", "-m", "http.server", "2380"]);
  const answers = async () =>
    (await host.tryRun(["curl", "-s", "-o", "/dev/null", "http://127.0.0.1:2380/"])).exitCode === 0;
  await expect.poll(answers, { timeout: 30_000 }).toBe(true);
  return {
    [Symbol.asyncDispose]: async () => {
      killGroup(listener);
      await expect.poll(answers, { timeout: 30_000 }).toBe(false);
    },
  };
}
