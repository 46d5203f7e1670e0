import { describe, expect, test } from "vitest";
import { fromJoin } from "../../../src/cluster/config/from-bootstrap.ts";
import { parseControlPlaneJoinConfig, parseWorkerJoinConfig } from "../../../src/cluster/config/parse-yaml.ts";
import { type JoinOrder, prepareWish } from "../../../src/cluster/join/prepare.ts";
import { encodeJoinToken } from "../../../src/cluster/tokens-encoding.ts";
import type { Host } from "../../../src/host/host.ts";
import { createPaths } from "../../../src/host/paths.ts";

const pairs = (...names: string[]) => names.flatMap((name) => [`${name}-crt`, `${name}-key`]);
const args = (...names: string[]) => names.map((name) => `extra-node-${name}-args`);
const both = [
  "disable-system-tuning",
  "extra-node-config-files",
  "extra-node-containerd-config",
  "containerd-base-dir",
];

/** The contract's keys. */
const keys = {
  controlPlane: [
    ...both,
    "extra-sans",
    ...pairs("front-proxy-client", "admin-client", "kube-proxy-client", "kube-scheduler-client"),
    ...pairs("kube-controller-manager-client", "apiserver", "kubelet", "kubelet-client", "etcd-server", "etcd-peer"),
    ...args(
      "kube-apiserver",
      "kube-controller-manager",
      "kube-scheduler",
      "kube-proxy",
      "kubelet",
      "containerd",
      "etcd",
    ),
  ],
  worker: [
    ...both,
    ...pairs("kubelet", "kubelet-client", "kube-proxy-client"),
    ...args("kube-proxy", "kubelet", "containerd", "k8s-apiserver-proxy"),
  ],
};

function sampleOf(key: string): unknown {
  if (key === "disable-system-tuning") return true;
  if (key === "extra-sans") return ["api.example.lan", "192.0.2.7"];
  if (key === "containerd-base-dir") return "/srv";
  if (key === "extra-node-config-files") return { "note.txt": "text" };
  if (key === "extra-node-containerd-config") return { version: 3 };
  return key.endsWith("-args") ? { "--flag": "value", "--gone": null } : `PEM of ${key}`;
}

const whole = (names: readonly string[]) => Object.fromEntries(names.map((key) => [key, sampleOf(key)]));

describe.each([
  ["a control plane", keys.controlPlane, parseControlPlaneJoinConfig],
  ["a worker", keys.worker, parseWorkerJoinConfig],
] as const)("the join configuration of %s", (_role, known, parse) => {
  test("takes every key of the contract, in YAML and in JSON", () => {
    expect(parse(JSON.stringify(whole(known)))).toEqual(whole(known));
    expect(Object.keys(parse("disable-system-tuning: yes\ncontainerd-base-dir: /srv\n"))).toHaveLength(2);
  });

  test.each(known.map((key) => ({ key })))("$key alone is enough", ({ key }) => {
    expect(parse(JSON.stringify({ [key]: sampleOf(key) }))).toEqual({ [key]: sampleOf(key) });
  });

  test("nothing is all defaults", () => {
    expect(parse("")).toEqual({});
    expect(fromJoin(parse(""))).toMatchObject({
      extraSans: [],
      disableSystemTuning: false,
      extraFiles: {},
      extraArgs: {},
    });
  });

  test("everything of it reaches the node", () => {
    const node = fromJoin(parse(JSON.stringify(whole(known))));
    expect(node).toMatchObject({
      disableSystemTuning: true,
      containerdBaseDir: "/srv",
      extraFiles: { "note.txt": "text" },
      containerdConfig: { version: 3 },
    });
    const services = known.flatMap((key) => /^extra-node-(.*)-args$/.exec(key)?.[1] ?? []);
    expect(node.extraArgs).toEqual(
      Object.fromEntries(services.map((service) => [service, { "--flag": "value", "--gone": null }])),
    );
  });

  test.each([
    "cluster-config",
    "ca-crt",
    "ca-key",
    "service-account-key",
    "apiserver-kubelet-client-crt",
    "pod-cidr",
    "nothing",
  ])("%s is not a node's to say", (key) => {
    expect(() => parse(JSON.stringify({ [key]: "x" }))).toThrow(key);
  });
});

test.each(["extra-sans", "apiserver-crt", "etcd-peer-key", "extra-node-etcd-args"])(
  "%s is no key of a worker",
  (key) => {
    expect(() => parseWorkerJoinConfig(JSON.stringify({ [key]: sampleOf(key) }))).toThrow(key);
  },
);

describe("what a worker asks for", () => {
  const interfaces: ReturnType<Host["interfaces"]> = [
    { name: "lo", addresses: [{ address: "127.0.0.1", family: 4, prefix: 8, internal: true }] },
    {
      name: "eth0",
      addresses: [
        { address: "192.0.2.10", family: 4, prefix: 24, internal: false },
        { address: "2001:db8::10", family: 6, prefix: 64, internal: false },
      ],
    },
  ];
  const paths = createPaths({ root: "/", snap: "/snap/k8s/current", snapCommon: "/var/snap/k8s/common" });
  const host = { paths, hostname: "w1", cgroups: "v2", interfaces: () => interfaces } as Partial<Host> as Host;
  const machine = {
    systemd: true,
    appArmor: false,
    oomScoreAdjustable: false,
    conntrackWritable: false,
    resolvConf: undefined,
  };
  const ticket = {
    secret: "s",
    fingerprint: "0".repeat(64),
    addresses: ["192.0.2.1:6400", "192.0.2.10:6400"],
  } as const;
  const order = (more: Partial<JoinOrder>): JoinOrder => ({
    name: "w1",
    address: "",
    token: encodeJoinToken({ ...ticket, role: "worker" }),
    config: "",
    timeoutMs: 0,
    ...more,
  });
  const wish = (more: Partial<JoinOrder>) =>
    prepareWish(order(more), { k8sd: "1.2.3" }, { host, machine, kubernetes: true, nodeKey: { id: "", meshPeer: "" } });

  test("is a signature for each certificate, but for those that it brings", () => {
    expect(Object.keys(wish({}).request.requests).sort()).toEqual(["kube-proxy-client", "kubelet", "kubelet-client"]);
    const config = JSON.stringify({ "kubelet-crt": "PEM", "kubelet-key": "PEM" });
    const brought = wish({ config });
    expect(Object.keys(brought.request.requests).sort()).toEqual(["kube-proxy-client", "kubelet-client"]);
    expect(brought.secret).toMatchObject({ "kubelet-crt": "PEM", "kubelet-key": "PEM" });
  });

  test.each([
    ["", ["192.0.2.10", "2001:db8::10"], "192.0.2.10:6400"],
    ["192.0.2.0/24", ["192.0.2.10", "2001:db8::10"], "192.0.2.10:6400"],
    ["2001:db8::/32", ["2001:db8::10", "192.0.2.10"], "[2001:db8::10]:6400"],
    ["[2001:db8::10]:7400", ["2001:db8::10", "192.0.2.10"], "[2001:db8::10]:7400"],
    ["192.0.2.10:7400", ["192.0.2.10", "2001:db8::10"], "192.0.2.10:7400"],
  ])("names its addresses, from --address %j", (address, addresses, k8sdAddress) => {
    expect(wish({ address }).request).toMatchObject({
      addresses,
      "k8sd-address": k8sdAddress,
      versions: { k8sd: "1.2.3" },
    });
  });

  test("goes to everybody but itself", () => {
    expect(wish({}).ticket.addresses).toEqual(["192.0.2.1:6400"]);
    const own = encodeJoinToken({ ...ticket, role: "worker", addresses: ["192.0.2.10:6400", "[2001:db8::10]:6400"] });
    expect(() => wish({ token: own })).toThrow("the only control plane that the token names is this node itself");
  });
});
