import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withEngine, withEtcdOf } from "@k8sd/k8sd/cluster/migrate/engines.ts";
import { type MovableEngine, planMigrate } from "@k8sd/k8sd/cluster/migrate/plan.ts";
import { expect } from "vitest";
import { stringify } from "yaml";
import { makeTestPki } from "../../../packages/k8sd/test/integration/datastore/support/certificates.ts";
import { aBootstrapInput } from "../../../packages/k8sd/test/support/bootstrap-input.ts";
import { becomesReady } from "../../expect-node.ts";
import type { Host } from "../../hosts/types.ts";
import { callDaemon } from "../../node.ts";
import { contentHash, type Engine, isOn, report } from "./engines.ts";

const bin = "/snap/k8s/current/bin";
const url = "https://127.0.0.1:12379";
const peerUrl = "http://127.0.0.1:12380";
const unit = "/etc/systemd/system/their-etcd.service";
const prefixes = ["/registry/", "compact_rev_key", "k8sd/"];
/** Of each new one above those before, as an owner makes one that shall take a cluster with a high revision. */
const bump = 10_000_000_000;

/** An etcd of somebody else on the host, who has keys of their own in it. */
export interface TheirEtcd {
  /** As in a bootstrap configuration. */
  config(more?: object): string;
  etcdctl(...argv: string[]): Promise<string>;
  /** Another one in its place: empty but for what is theirs. @param low its revision is that of a new etcd. */
  anew(how?: { readonly low: boolean }): Promise<void>;
  /** How many keys of a cluster it holds. */
  ours(): Promise<number>;
  theirsIsUntouched(): Promise<void>;
  contentHash(): Promise<string>;
}

export async function startTheirEtcd(host: Host): Promise<TheirEtcd> {
  const folder = await mkdtemp(join(tmpdir(), "k8sd-external-"));
  const { files, clientFiles } = makeTestPki(folder, ["root"]);
  const sources = {
    "ca.crt": files.ca,
    "server.crt": files.cert,
    "server.key": files.key,
    "client.crt": clientFiles.cert,
    "client.key": clientFiles.key,
    "root.crt": join(folder, "root.crt"),
    "root.key": join(folder, "root.key"),
  };
  const pems: Record<string, string> = {};
  for (const [name, path] of Object.entries(sources)) {
    pems[name] = await readFile(path, "utf8");
    await host.writeFile(`/their-etcd/${name}`, pems[name]);
  }
  await rm(folder, { recursive: true });
  const args = [
    "--data-dir /their-etcd/data --log-level error --unsafe-no-fsync",
    "--cert-file /their-etcd/server.crt --key-file /their-etcd/server.key --trusted-ca-file /their-etcd/ca.crt --client-cert-auth",
    `--listen-client-urls ${url} --advertise-client-urls ${url}`,
    `--listen-peer-urls ${peerUrl} --initial-advertise-peer-urls ${peerUrl} --initial-cluster default=${peerUrl}`,
  ].join(" ");
  const service = `[Service]\nType=notify\nExecStart=${bin}/etcd ${args}\n[Install]\nWantedBy=multi-user.target\n`;
  await host.writeFile(unit, service);
  await host.run("systemctl", "daemon-reload");
  const etcdctl = async (...argv: string[]): Promise<string> => {
    const tls = ["--cacert", "/their-etcd/ca.crt", "--cert", "/their-etcd/root.crt", "--key", "/their-etcd/root.key"];
    return (await host.run(`${bin}/etcdctl`, "--endpoints", url, ...tls, ...argv)).stdout;
  };
  let made = 0;

  async function anew({ low } = { low: false }): Promise<void> {
    await host.run("systemctl", "stop", "their-etcd");
    await host.run("rm", "-rf", "/their-etcd/data");
    if (!low) {
      made += 1;
      const restore = `${bin}/etcdutl snapshot restore /their-etcd/empty.db --skip-hash-check --data-dir /their-etcd/data`;
      const cluster = `--initial-cluster default=${peerUrl} --initial-advertise-peer-urls ${peerUrl}`;
      const revision = `--bump-revision ${made * bump} --mark-compacted`;
      await host.run("sh", "-c", `${restore} ${cluster} ${revision}`);
    }
    await host.run("systemctl", "enable", "--now", "their-etcd");
    await etcdctl("put", "/others/key", "theirs");
    await etcdctl("put", "zz", "theirs");
  }

  const count = async (prefix: string): Promise<number> => {
    const told = await etcdctl("get", prefix, "--prefix", "--count-only", "--write-out=fields");
    return Number(/"Count" : (\d+)/.exec(told)?.[1]);
  };

  await host.run("systemctl", "enable", "--now", "their-etcd");
  await host.run("systemctl", "stop", "their-etcd");
  await host.run("cp", "/their-etcd/data/member/snap/db", "/their-etcd/empty.db");
  await anew();
  return {
    config: (more = {}) =>
      stringify({
        "datastore-type": "external",
        "datastore-servers": [url],
        "datastore-ca-crt": pems["ca.crt"],
        "datastore-client-crt": pems["client.crt"],
        "datastore-client-key": pems["client.key"],
        ...more,
      }),
    etcdctl,
    anew,
    async ours() {
      let held = 0;
      for (const prefix of prefixes) held += await count(prefix);
      return held;
    },
    async theirsIsUntouched() {
      expect(await etcdctl("get", "/others/", "--prefix")).toBe("/others/key\ntheirs\n");
      expect(await etcdctl("get", "zz")).toBe("zz\ntheirs\n");
    },
    async contentHash() {
      await host.writeFile(
        "/var/tmp/hash.sh",
        `${bin}/etcdctl --endpoints ${url} --cacert /their-etcd/ca.crt --cert /their-etcd/root.crt --key /their-etcd/root.key get --prefix /registry/test/ | sha256sum`,
      );
      return (await host.run("sh", "/var/tmp/hash.sh")).stdout.trim();
    },
  };
}

export type Place = MovableEngine | "theirs";

/** What a migration to it is asked for. */
export const askedFor = (place: Place): Engine => (place === "sqlite" || place === "etcd" ? place : "external");

/** Where the node is. */
export async function placeOf(host: Host): Promise<Place> {
  const { engine, endpoints } = await report(host);
  if (engine !== "external") return engine as Place;
  return endpoints.includes(url) ? "theirs" : "postgres";
}

/** The steps of a migration to or from an etcd of somebody else. */
export function migrationBetween(from: Place, to: Place, kubernetes = false) {
  const start = aBootstrapInput({ kubernetes });
  const at = (place: Place) =>
    place === "theirs" ? withEtcdOf({ servers: [url], access: {} }, start) : withEngine(start, place);
  const ports = { source: 0, target: 0 };
  return planMigrate({ nodeId: "", clusterId: "", before: at(from), after: at(to), ports }, {}, "generated");
}

/** The node works there, every record says so, and of any other engine nothing is left. */
export async function isAt(host: Host, place: Place, etcd: TheirEtcd): Promise<void> {
  if (place !== "theirs") {
    await isOn(host, askedFor(place));
    return;
  }
  await becomesReady(host);
  const { problem, ...status } = await report(host);
  expect([problem, status.engine]).toEqual([undefined, "external"]);
  const { metadata } = await callDaemon(host, "GET", "/1.0/k8sd/cluster/config");
  expect(metadata).toMatchObject({ datastore: { type: "external", servers: [url] } });
  for (const each of ["k8s-k8s-datastore", "k8s-k8s-datastore-new", "k8s-etcd"]) {
    const { stdout } = await host.tryRun(["systemctl", "is-active", each]);
    expect([each, stdout.trim()]).toEqual([each, "inactive"]);
  }
  for (const each of ["k8s-datastore", "etcd/data"]) {
    const { stdout } = await host.tryRun(["ls", "-A", `/var/snap/k8s/common/var/lib/${each}`]);
    expect([each, stdout.trim()]).toEqual([each, ""]);
  }
  const { exitCode } = await host.tryRun(["test", "-e", "/var/snap/k8s/common/var/lib/k8sd/state/datastore-url"]);
  expect(exitCode).toBe(1);
  expect(await etcd.etcdctl("get", "k8sd/moving-in")).toBe("");
}

export const hashAt = (host: Host, place: Place, etcd: TheirEtcd): Promise<string> =>
  place === "theirs" ? etcd.contentHash() : contentHash(host);
