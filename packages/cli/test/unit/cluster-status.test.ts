import type { ClusterStatus, FeatureStatus } from "@k8sd/api-types";
import { describe, expect, test } from "vitest";
import { clusterStatusOutput } from "../../src/format/cluster-status.ts";
import { render } from "../../src/format/output.ts";

const unknown: FeatureStatus = { enabled: false, message: "", version: "", "updated-at": "0001-01-01T00:00:00Z" };

function feature(message: string, enabled = true): FeatureStatus {
  return { enabled, message, version: "1.2.3", "updated-at": "2026-08-21T10:00:00Z" };
}

function aStatus(changes: Partial<ClusterStatus> = {}): ClusterStatus {
  return {
    ready: true,
    members: [
      { name: "a", address: "10.0.0.1:6400", "cluster-role": "control-plane", "datastore-role": "voter" },
      { name: "b", address: "10.0.0.2:6400", "cluster-role": "control-plane", "datastore-role": "voter" },
    ],
    config: { dns: { enabled: true } },
    datastore: { type: "etcd" },
    network: feature("enabled"),
    dns: feature("enabled at 10.152.183.20"),
    ingress: feature("", false),
    "load-balancer": unknown,
    "local-storage": feature("enabled at /var/snap/k8s/common/rawfile-storage"),
    gateway: feature(""),
    "metrics-server": feature("enabled"),
    ...changes,
  };
}

const plainOf = (status: ClusterStatus) => render(clusterStatusOutput(status), "plain");

describe("plain status", () => {
  test("is ten aligned lines, the last label without a colon", async () => {
    expect(await plainOf(aStatus())).toBe(
      [
        "cluster status:           ready",
        "control plane nodes:      10.0.0.1:6400 (voter), 10.0.0.2:6400 (voter)",
        "high availability:        no",
        "datastore:                etcd",
        "network:                  enabled",
        "dns:                      enabled at 10.152.183.20",
        "ingress:                  disabled",
        "load-balancer:            disabled",
        "local-storage:            enabled at /var/snap/k8s/common/rawfile-storage",
        "gateway                   enabled",
        "",
      ].join("\n"),
    );
  });

  test("names what is missing", async () => {
    const { ready: _ready, members: _members, ...rest } = aStatus({ datastore: {} });
    const [status, nodes, , datastore] = (await plainOf(rest)).split("\n");
    expect([status, nodes, datastore]).toEqual([
      "cluster status:           not ready",
      "control plane nodes:      none",
      "datastore:                disabled",
    ]);
  });

  test.each([
    [["voter", "voter", "spare"], "no"],
    [["voter", "voter", "voter"], "yes"],
  ] as const)("with the roles %j high availability is %s", async (roles, answer) => {
    const members = roles.map((role) => ({ address: "10.0.0.1:6400", "datastore-role": role }));
    expect(await plainOf(aStatus({ members }))).toContain(`high availability:        ${answer}\n`);
  });

  const conditions = [
    { name: "apiserver", ok: true, reason: "Answers", message: "", "observed-at": "2026-08-21T10:00:00Z" },
    { name: "node", ok: false, reason: "NotReady", message: "no Node is Ready", "observed-at": "2026-08-21T10:00:00Z" },
    { name: "dns", ok: false, reason: "NoAddress", message: "", "observed-at": "2026-08-21T10:00:00Z" },
  ];

  test("tells the conditions that are not met after the ten lines", async () => {
    const { ready: _ready, ...rest } = aStatus({ conditions });
    const lines = (await plainOf(rest)).split("\n");
    expect(lines.slice(10)).toEqual(["", "not ready because:", "  node: no Node is Ready", "  dns: NoAddress", ""]);
  });

  test("shows who is in, as what, whether they are alive, and how old that is", async () => {
    const nodes = [
      { name: "n1", role: "control-plane", state: "active", address: "10.0.0.1:6400", liveness: "alive" },
      { name: "w1", role: "worker", state: "joining", address: "10.0.0.9", "last-contact": "2026-08-21T10:00:09.456Z" },
    ] as const;
    const status = aStatus({ nodes: [...nodes], "heard-at": "2026-08-21T10:00:11.120Z" });
    expect((await plainOf(status)).split("\n").slice(10)).toEqual([
      "",
      "NAME   ROLE            ADDRESS         STATE     LAST CONTACT",
      "n1     control-plane   10.0.0.1:6400   alive",
      "w1     worker          10.0.0.9        joining   2026-08-21T10:00:09Z",
      "as it was told at 2026-08-21T10:00:11Z",
      "",
    ]);
    expect(await plainOf(aStatus({ nodes: nodes.slice(0, 1) }))).toBe(await plainOf(aStatus()));
  });

  test("names the nodes that do not answer", async () => {
    const node = { role: "worker", state: "active", address: "10.0.0.9" } as const;
    const nodes = [
      { ...node, name: "w1", liveness: "alive" as const },
      { ...node, name: "w2", liveness: "dead" as const, "last-contact": "2026-08-21T10:00:09.456Z" },
      { ...node, name: "w3", liveness: "dead" as const },
    ];
    const lines = (await plainOf(aStatus({ nodes }))).split("\n");
    expect(lines.slice(16)).toEqual([
      "do not answer ('k8s mesh' says why):",
      "  w2 (10.0.0.9): last contact 2026-08-21T10:00:09Z",
      "  w3 (10.0.0.9): no contact since the start",
      "",
    ]);
  });

  test("tells no conditions of a cluster that is ready", async () => {
    expect(await plainOf(aStatus({ conditions }))).toBe(await plainOf(aStatus()));
  });
});

describe("status for programs", () => {
  test("as JSON hides the configuration and keeps every feature", async () => {
    const text = await render(clusterStatusOutput(aStatus()), "json");
    expect(text.startsWith('{\n  "ready": true,\n  "members": [\n    {\n      "name": "a",\n      "address": ')).toBe(
      true,
    );
    expect(text.endsWith("}\n")).toBe(true);
    const value = JSON.parse(text);
    expect(Object.keys(value)).toEqual(
      ["ready", "members", "config", "datastore", "dns", "network", "load-balancer", "ingress", "gateway"].concat([
        "metrics-server",
        "local-storage",
      ]),
    );
    expect(value.config).toEqual({
      network: { "kube-proxy-enabled": null },
      dns: {},
      ingress: {},
      "load-balancer": {},
      "local-storage": {},
      gateway: {},
      "metrics-server": {},
    });
    expect(value["load-balancer"]).toEqual(unknown);
  });

  test("as JSON leaves out ready and members when there is nothing to say", async () => {
    const { ready: _ready, ...rest } = aStatus({ members: [] });
    const value = JSON.parse(await render(clusterStatusOutput(rest), "json"));
    expect(value).not.toHaveProperty("ready");
    expect(value).not.toHaveProperty("members");
  });

  test("as YAML prints the empty and leaves out features nobody has looked at", async () => {
    const off = { network: unknown, dns: feature("enabled at 10.152.183.20"), ingress: unknown, gateway: unknown };
    const status = aStatus({ members: [], ...off, "local-storage": unknown, "metrics-server": unknown });
    const { ready: _ready, ...rest } = status;
    expect(await render(clusterStatusOutput(rest), "yaml")).toBe(
      [
        "ready: false",
        "members: []",
        "config: {}",
        "datastore:",
        "  type: etcd",
        "dns:",
        "  enabled: true",
        "  message: enabled at 10.152.183.20",
        "  version: 1.2.3",
        "  updated-at: 2026-08-21T10:00:00Z",
        "",
      ].join("\n"),
    );
  });
});
