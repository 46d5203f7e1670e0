import { parse } from "smol-toml";
import { describe, expect, test } from "vitest";
import type { NodeView } from "../../../src/components/component.ts";
import { containerd } from "../../../src/components/containerd.ts";
import { renderCniConfig } from "../../../src/components/network/cni-config.ts";
import { aNode } from "./support.ts";

const machine = aNode().machine;
const images = "io.containerd.cri.v1.images";
const runtime = "io.containerd.cri.v1.runtime";
const service = "io.containerd.grpc.v1.cri";

function configOf(over: Partial<NodeView>): unknown {
  const [file] = containerd.render(aNode(over)).files;
  return parse(String(file?.content));
}

const plain = {
  version: 3,
  oom_score: 0,
  imports: ["/etc/containerd/conf.d/*.toml"],
  grpc: { uid: 0, gid: 0, max_recv_message_size: 16777216, max_send_message_size: 16777216 },
  debug: { uid: 0, gid: 0, address: "", level: "" },
  metrics: { address: "", grpc_histogram: false },
  cgroup: { path: "" },
  plugins: {
    [service]: { stream_server_address: "127.0.0.1", stream_server_port: "0", enable_tls_streaming: false },
    [images]: {
      stats_collect_period: 10,
      pinned_images: { sandbox: "ghcr.io/canonical/k8s-snap/pause:3.10" },
      registry: { config_path: "/etc/containerd/hosts.d" },
    },
    [runtime]: {
      enable_selinux: false,
      max_container_log_line_size: 16384,
      disable_apparmor: false,
      restrict_oom_score_adj: false,
      containerd: {
        default_runtime_name: "runc",
        runtimes: { runc: { runtime_type: "io.containerd.runc.v2", options: { SystemdCgroup: true } } },
      },
      cni: { bin_dirs: ["/opt/cni/bin"], conf_dir: "/etc/cni/net.d" },
    },
  },
};

describe("containerd", () => {
  test("runs with exactly these arguments, files and directories", () => {
    const { service: spec, files, directories } = containerd.render(aNode());
    expect(spec).toMatchObject({ notifies: true, delegates: true, kill: "process" });
    expect(spec.args).toEqual({
      "--address": "/run/containerd/containerd.sock",
      "--config": "/etc/containerd/config.toml",
      "--root": "/var/lib/containerd",
      "--state": "/run/containerd",
    });
    expect(files.map(({ path, mode }) => [path, mode])).toEqual([["/etc/containerd/config.toml", 0o600]]);
    expect(directories).toEqual([
      { path: "/etc/containerd", mode: 0o700 },
      { path: "/etc/containerd/conf.d", mode: 0o700 },
      { path: "/etc/containerd/hosts.d", mode: 0o700 },
      { path: "/etc/cni/net.d", mode: 0o755 },
      { path: "/opt/cni/bin", mode: 0o755 },
      { path: "/var/lib/containerd", mode: 0o711 },
      { path: "/run/containerd", mode: 0o711 },
      { path: "/opt/containerd", mode: 0o711 },
      { path: "/run/nri", mode: 0o755 },
      { path: "/var/lib/cni", mode: 0o755 },
    ]);
    expect(configOf({})).toEqual(plain);
  });

  const changed = (plugin: string, over: object) => ({
    ...plain,
    plugins: { ...plain.plugins, [plugin]: { ...plain.plugins[plugin as keyof typeof plain.plugins], ...over } },
  });

  test.each([
    [
      "a machine without AppArmor",
      { machine: { ...machine, appArmor: false } },
      changed(runtime, { disable_apparmor: true }),
    ],
    [
      "a nested container",
      { machine: { ...machine, oomScoreAdjustable: false } },
      changed(runtime, { restrict_oom_score_adj: true }),
    ],
    [
      "a host without systemd",
      { machine: { ...machine, systemd: false } },
      changed(runtime, {
        containerd: {
          default_runtime_name: "runc",
          runtimes: { runc: { runtime_type: "io.containerd.runc.v2", options: { SystemdCgroup: false } } },
        },
      }),
    ],
    ["IPv6 loopback", { loopback: "::1" }, changed(service, { stream_server_address: "::1" })],
    [
      "another pause image",
      { pauseImage: "localhost/pause:1" },
      changed(images, { pinned_images: { sandbox: "localhost/pause:1" } }),
    ],
  ])("%s changes exactly what it concerns", (_case, over, expected) => {
    expect(configOf(over)).toEqual(expected);
  });

  test("the user's configuration is merged: tables deep, lists appended, values replaced", () => {
    const extraContainerdConfig = {
      version: 3,
      imports: ["/etc/mine/*.toml"],
      debug: { level: "debug" },
      plugins: { [runtime]: { containerd: { runtimes: { kata: { runtime_type: "io.containerd.kata.v2" } } } } },
    };
    expect(configOf({ extraContainerdConfig })).toEqual({
      ...plain,
      imports: ["/etc/containerd/conf.d/*.toml", "/etc/mine/*.toml"],
      debug: { ...plain.debug, level: "debug" },
      plugins: {
        ...plain.plugins,
        [runtime]: {
          ...plain.plugins[runtime],
          containerd: {
            default_runtime_name: "runc",
            runtimes: {
              ...plain.plugins[runtime].containerd.runtimes,
              kata: { runtime_type: "io.containerd.kata.v2" },
            },
          },
        },
      },
    });
  });

  test("the user's configuration for containerd 1.x reaches its new places", () => {
    const extraContainerdConfig = {
      version: 2,
      plugins: {
        [service]: {
          sandbox_image: "mine/pause:1",
          stream_idle_timeout: "1h",
          enable_selinux: true,
          registry: { config_path: "/etc/mine" },
          cni: { bin_dir: "/usr/lib/cni" },
          containerd: { snapshotter: "native", default_runtime_name: "kata" },
        },
        "io.containerd.gc.v1.scheduler": { pause_threshold: 0.02 },
      },
    };
    expect(configOf({ extraContainerdConfig })).toEqual({
      ...plain,
      plugins: {
        "io.containerd.gc.v1.scheduler": { pause_threshold: 0.02 },
        [service]: { ...plain.plugins[service], stream_idle_timeout: "1h" },
        [images]: {
          ...plain.plugins[images],
          pinned_images: { sandbox: "mine/pause:1" },
          registry: { config_path: "/etc/mine" },
          snapshotter: "native",
        },
        [runtime]: {
          ...plain.plugins[runtime],
          enable_selinux: true,
          cni: { bin_dirs: ["/opt/cni/bin", "/usr/lib/cni"], conf_dir: "/etc/cni/net.d" },
          containerd: { ...plain.plugins[runtime].containerd, default_runtime_name: "kata" },
        },
      },
    });
  });

  test("a value that TOML does not have is refused", () => {
    const node = aNode({ extraContainerdConfig: { debug: { level: null } } });
    expect(() => containerd.render(node)).toThrow(expect.objectContaining({ field: "extra-node-containerd-config" }));
  });
});

describe("the built-in network", () => {
  const network = aNode().network;

  test.each([
    ["one family", ["10.1.0.0/24"], [[{ subnet: "10.1.0.0/24" }]], [{ dst: "0.0.0.0/0" }]],
    ["IPv6", ["fd01::/120"], [[{ subnet: "fd01::/120" }]], [{ dst: "::/0" }]],
    [
      "both families",
      ["10.1.0.0/24", "fd01::/120"],
      [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd01::/120" }]],
      [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
    ],
  ])("hands out the node's part of %s", (_case, nodePodCidrs, ranges, routes) => {
    const file = renderCniConfig(aNode({ network: { ...network, nodePodCidrs } }));
    expect(file).toMatchObject({ path: "/etc/cni/net.d/10-k8sd.conflist", mode: 0o600 });
    expect(JSON.parse(String(file?.content))).toEqual({
      cniVersion: "1.0.0",
      name: "k8sd",
      plugins: [
        {
          type: "bridge",
          bridge: "cni0",
          isGateway: true,
          hairpinMode: true,
          ipMasq: false,
          ipam: { type: "host-local", dataDir: "/var/lib/cni/networks", ranges, routes },
        },
        { type: "portmap", capabilities: { portMappings: true }, snat: true },
      ],
    });
  });

  test("is not there before the node has a range", () => {
    expect(renderCniConfig(aNode({ network: { ...network, nodePodCidrs: [] } }))).toBeUndefined();
  });
});
