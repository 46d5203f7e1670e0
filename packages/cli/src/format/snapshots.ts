import type { ListSnapshotsResponse, Snapshot } from "@k8sd/api-types";
import type { Output } from "./output.ts";
import { table } from "./table.ts";
import { PlainScalar, type YamlValue } from "./yaml.ts";

const head = ["NAME", "CREATED", "NODE", "EPOCH", "ENGINE", "REVISION", "KEYS", "SIZE", "KEY"];

export function savedOutput(saved: Snapshot): Output {
  const { path, content } = saved;
  const what = content === undefined ? "" : `: ${content.keys} keys of revision ${content.revision}`;
  const lines = [
    `Saved ${path}${what}, ${size(saved.bytes)}; a trial restore gave back the same.`,
    ...(content === undefined ? [] : [`It opens with the key ${content.key}.`]),
  ];
  return { plain: () => lines.join("\n"), json: () => fields(saved), yaml: () => yaml(saved) };
}

export function fetchedOutput(fetched: Snapshot): Output {
  const { path, bytes, content } = fetched;
  const key = content === undefined ? "" : `; it opens with the key ${content.key}`;
  const lines = [
    `Fetched ${path}, ${size(bytes)}; its checksum is right.`,
    `Restore it with 'k8s snapshot restore ${path} --key-file FILE'${key}.`,
  ];
  return { plain: () => lines.join("\n"), json: () => fields(fetched), yaml: () => yaml(fetched) };
}

export function snapshotsOutput({ directory, snapshots }: ListSnapshotsResponse): Output {
  return {
    plain: () =>
      snapshots.length === 0 ? `There are no snapshots in ${directory}.` : table([head, ...snapshots.map(row)]),
    json: () => ({ directory, snapshots: snapshots.map(fields) }),
    yaml: () => ({ directory, snapshots: snapshots.map(yaml) }),
  };
}

function row({ name, bytes, content, problem = "" }: Snapshot): readonly string[] {
  if (content === undefined) return [name, problem];
  const { created, node, epoch, engine, revision, keys, key } = content;
  const time = created.replace(/\.\d+Z$/, "Z");
  return [name, time, node, String(epoch), engine, String(revision), String(keys), size(bytes), key];
}

function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  const power = bytes === 0 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}

/** The keys in one order, whatever order they came in. */
function fields({ name, path, bytes, content, problem }: Snapshot): Snapshot {
  if (content === undefined) return { name, path, bytes, ...(problem === undefined ? {} : { problem }) };
  const { created, cluster, epoch, node, engine, revision, keys, versions, key } = content;
  return { name, path, bytes, content: { created, cluster, epoch, node, engine, revision, keys, versions, key } };
}

function yaml(snapshot: Snapshot): YamlValue {
  const { content, ...rest } = fields(snapshot);
  if (content === undefined) return rest;
  return { ...rest, content: { ...content, created: new PlainScalar(content.created) } };
}
