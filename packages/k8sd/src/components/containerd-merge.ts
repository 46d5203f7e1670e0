import { AppError } from "../lib/app-error.ts";

export type Table = { readonly [key: string]: Value };
export type Value = string | number | bigint | boolean | Date | Table | readonly Value[];

export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Tables are merged key by key, lists get the other's elements behind their own, anything else is replaced. */
export function mergeTables(base: Table, over: Table): Table {
  const result: Record<string, Value> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const own = Object.hasOwn(result, key) ? result[key] : undefined;
    if (value === null || value === undefined) {
      throw new AppError("invalid", `cannot merge containerd configuration: ${key} has no value`, {
        field: "extra-node-containerd-config",
        remedy: "Give it a value; TOML has no null.",
      });
    }
    if (isTable(own) && isTable(value)) result[key] = mergeTables(own, value);
    else if (Array.isArray(own) && Array.isArray(value)) result[key] = [...own, ...value];
    else result[key] = value;
  }
  return result;
}

/** Keys of the version 2 table of the runtime interface that version 3 has elsewhere: old path → plugin and new path. */
const moved: readonly (readonly [from: string, plugin: string, to: string])[] = [
  ["sandbox_image", "io.containerd.cri.v1.images", "pinned_images.sandbox"],
  ["registry", "io.containerd.cri.v1.images", "registry"],
  ["image_decryption", "io.containerd.cri.v1.images", "image_decryption"],
  ["max_concurrent_downloads", "io.containerd.cri.v1.images", "max_concurrent_downloads"],
  ["image_pull_progress_timeout", "io.containerd.cri.v1.images", "image_pull_progress_timeout"],
  ["image_pull_with_sync_fs", "io.containerd.cri.v1.images", "image_pull_with_sync_fs"],
  ["stats_collect_period", "io.containerd.cri.v1.images", "stats_collect_period"],
  ["containerd.snapshotter", "io.containerd.cri.v1.images", "snapshotter"],
  ["containerd.disable_snapshot_annotations", "io.containerd.cri.v1.images", "disable_snapshot_annotations"],
  ["containerd.discard_unpacked_layers", "io.containerd.cri.v1.images", "discard_unpacked_layers"],
  ["disable_tcp_service", "io.containerd.grpc.v1.cri", "disable_tcp_service"],
  ["stream_server_address", "io.containerd.grpc.v1.cri", "stream_server_address"],
  ["stream_server_port", "io.containerd.grpc.v1.cri", "stream_server_port"],
  ["stream_idle_timeout", "io.containerd.grpc.v1.cri", "stream_idle_timeout"],
  ["enable_tls_streaming", "io.containerd.grpc.v1.cri", "enable_tls_streaming"],
  ["x509_key_pair_streaming", "io.containerd.grpc.v1.cri", "x509_key_pair_streaming"],
];

/**
 * Brings a user's configuration to the names of version 3. containerd does so for whole files only: a version 2 table
 * merged into our version 3 file would be ignored without a word.
 */
export function toVersion3(user: Table): Table {
  const { version: _version, plugins, ...rest } = user;
  if (!isTable(plugins)) return plugins === undefined ? rest : { ...rest, plugins };
  const { "io.containerd.grpc.v1.cri": old, ...others } = plugins;
  if (!isTable(old)) return { ...rest, plugins };

  let remaining: Table = old;
  let translated: Table = {};
  for (const [from, plugin, to] of moved) {
    const taken = take(remaining, from.split("."));
    if (taken === undefined) continue;
    remaining = taken.rest;
    translated = mergeTables(translated, { [plugin]: nest(to.split("."), taken.value) });
  }
  if (Object.keys(remaining).length > 0) {
    translated = mergeTables(translated, { "io.containerd.cri.v1.runtime": renameBinDir(remaining) });
  }
  return { ...rest, plugins: mergeTables(others, translated) };
}

/** `cni.bin_dir` became the list `cni.bin_dirs`. */
function renameBinDir(runtime: Table): Table {
  const taken = take(runtime, ["cni", "bin_dir"]);
  return taken === undefined ? runtime : mergeTables(taken.rest, nest(["cni", "bin_dirs"], [taken.value]));
}

/** The value at a path and the table without it; undefined when there is none. A table left empty goes too. */
function take(table: Table, path: readonly string[]): { value: Value; rest: Table } | undefined {
  const [key, ...deeper] = path;
  if (key === undefined || !Object.hasOwn(table, key)) return undefined;
  const { [key]: value, ...rest } = table;
  if (value === undefined) return undefined;
  if (deeper.length === 0) return { value, rest };
  const inner = isTable(value) ? take(value, deeper) : undefined;
  if (inner === undefined) return undefined;
  return { value: inner.value, rest: Object.keys(inner.rest).length === 0 ? rest : { ...rest, [key]: inner.rest } };
}

function nest(path: readonly string[], value: Value): Table {
  const [key = "", ...deeper] = path;
  return { [key]: deeper.length === 0 ? value : nest(deeper, value) };
}
