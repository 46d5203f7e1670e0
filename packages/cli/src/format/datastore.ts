import type { DatastoreReport, MigrateResponse } from "@k8sd/api-types";
import type { Output } from "./output.ts";
import type { YamlValue } from "./yaml.ts";

export function datastoreOutput(report: DatastoreReport): Output {
  const value = () => report as unknown as YamlValue;
  return { plain: () => lines(report).join("\n"), json: () => report, yaml: value };
}

export function migratedOutput(result: MigrateResponse): Output {
  const { from, to, "pause-ms": pauseMs } = result;
  const pause = pauseMs === undefined ? "" : ` Writes were paused for ${pauseMs} ms.`;
  const plain = () => `The cluster's data has moved from ${from} to ${to}.${pause}`;
  return { plain, json: () => result, yaml: () => result as YamlValue };
}

function lines(report: DatastoreReport): string[] {
  const { engine, version, endpoints, revision, size, problem, alarms, members, migration } = report;
  const inUse = report["size-in-use"];
  const row = (title: string, text: string) => `${`${title}:`.padEnd(12)}${text}`;
  const width = Math.max(...members.map(({ name }) => name.length), 0);
  return [
    row("engine", version === undefined ? engine : `${engine} (API of etcd ${version})`),
    row("state", problem ?? (alarms.length === 0 ? "works" : alarms.join("; "))),
    row("endpoints", endpoints.join(", ")),
    ...(revision === undefined ? [] : [row("revision", String(revision))]),
    ...(size === undefined ? [] : [row("size", sizes(size, inUse ?? size))]),
    ...members.map(({ name, role, address }) =>
      row("member", `${name.padEnd(width)}   ${role.padEnd(7)}   ${address}`),
    ),
    ...(migration === undefined
      ? []
      : [row("migration", `step ${migration.step} of ${migration.of}, ${migration.title}`)]),
  ];
}

function sizes(size: number, inUse: number): string {
  return `${mebibytes(size)} MiB, ${mebibytes(inUse)} MiB in use`;
}

const mebibytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1);
