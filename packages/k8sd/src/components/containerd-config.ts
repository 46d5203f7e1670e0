import { join } from "node:path";
import { stringify } from "smol-toml";
import type { NodeView } from "./component.ts";
import { isTable, mergeTables, type Table, toVersion3 } from "./containerd-merge.ts";

/** Where the tables of the container runtime interface live in a version 3 configuration (containerd 2.x). */
const images = "io.containerd.cri.v1.images";
const runtime = "io.containerd.cri.v1.runtime";
const service = "io.containerd.grpc.v1.cri";

/** containerd's configuration: ours, with the user's merged over it. */
export function renderContainerdConfig(node: NodeView): string {
  const user = isTable(node.extraContainerdConfig) ? node.extraContainerdConfig : {};
  return stringify(mergeTables(defaults(node), toVersion3(user)));
}

function defaults(node: NodeView): Table {
  const { containerd, cniBin, cniConf } = node.paths;
  const { machine } = node;
  return {
    version: 3,
    oom_score: 0,
    imports: [join(containerd.confD, "*.toml")],
    grpc: { uid: 0, gid: 0, max_recv_message_size: 16777216, max_send_message_size: 16777216 },
    debug: { uid: 0, gid: 0, address: "", level: "" },
    metrics: { address: "", grpc_histogram: false },
    cgroup: { path: "" },
    plugins: {
      [service]: { stream_server_address: node.loopback, stream_server_port: "0", enable_tls_streaming: false },
      [images]: {
        stats_collect_period: 10,
        // Named here too, so that garbage collection never takes the image all pods start from.
        pinned_images: { sandbox: node.pauseImage },
        registry: { config_path: containerd.hostsD },
      },
      [runtime]: {
        enable_selinux: false,
        max_container_log_line_size: 16384,
        disable_apparmor: !machine.appArmor,
        restrict_oom_score_adj: !machine.oomScoreAdjustable,
        containerd: {
          default_runtime_name: "runc",
          runtimes: { runc: { runtime_type: "io.containerd.runc.v2", options: { SystemdCgroup: machine.systemd } } },
        },
        cni: { bin_dirs: [cniBin], conf_dir: cniConf },
      },
    },
  };
}
