import type { DatastoreMember, DatastoreReport, MigrateResponse, SealKeyState } from "@k8sd/api-types";
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

export function sealKeyOutput(state: SealKeyState): Output {
  const value = () => state as unknown as YamlValue;
  return { plain: () => sealKeyText(state), json: () => state, yaml: value };
}

function sealKeyText({ id, coming, leaving, "waiting-for": waiting }: SealKeyState): string {
  if (coming === undefined && leaving === undefined) return `The key ${id} seals the cluster's secrets.`;
  const others = waiting.length === 0 ? "" : `, when ${waiting.join(", ")} did their part`;
  const what =
    coming === undefined
      ? `The key ${id} seals the cluster's secrets; ${leaving} is forgotten by itself`
      : `The new key ${coming} takes the place of ${id} by itself`;
  return `${what}${others}.\nSee 'k8s datastore status'.`;
}

function lines(report: DatastoreReport): string[] {
  const { engine, version, endpoints, revision, size, problem, alarms, members, migration } = report;
  const { "size-in-use": inUse, "seal-key": sealKey } = report;
  const row = (title: string, text: string) => `${`${title}:`.padEnd(12)}${text}`;
  const width = Math.max(...members.map(({ name }) => name.length), 0);
  return [
    row("engine", version === undefined ? engine : `${engine} (API of etcd ${version})`),
    row("state", problem ?? (alarms.length === 0 ? "works" : alarms.join("; "))),
    row("endpoints", endpoints.join(", ")),
    ...(revision === undefined ? [] : [row("revision", String(revision))]),
    ...(size === undefined ? [] : [row("size", sizes(size, inUse ?? size))]),
    ...members.flatMap((member) => [
      row("member", `${member.name.padEnd(width)}   ${member.role.padEnd(7)}   ${member.address}`),
      ...memberDetails(member).map((text) => `${" ".repeat(12 + width)}   ${text}`),
    ]),
    ...(sealKey === undefined ? [] : [row("seal key", sealKeyShort(sealKey))]),
    ...(migration === undefined
      ? []
      : [row("migration", `step ${migration.step} of ${migration.of}, ${migration.title}`)]),
  ];
}

function memberDetails(member: DatastoreMember): string[] {
  const { problem, version, leader, behind = 0, size, "size-in-use": inUse, quota, alarms = [] } = member;
  if (problem !== undefined) return [`does not answer: ${problem}`];
  if (version === undefined || size === undefined) return [];
  const defragmented = member["last-defragmented"];
  const state = [
    ...(leader ? ["leads"] : []),
    `version ${version}`,
    ...(behind === 0 ? [] : [`${behind} changes behind`]),
    ...alarms.map((alarm) => `alarm ${alarm}`),
  ];
  const room = [
    sizes(size, inUse ?? size),
    ...(quota === undefined ? [] : [`${mebibytes(quota)} MiB at most`]),
    ...(defragmented === undefined ? [] : [`defragmented ${defragmented}`]),
  ];
  return [state.join(", "), room.join(", ")];
}

function sizes(size: number, inUse: number): string {
  return `${mebibytes(size)} MiB, ${mebibytes(inUse)} MiB in use`;
}

function sealKeyShort({ id, coming, leaving, "waiting-for": waiting }: SealKeyState): string {
  const change = coming !== undefined ? `, ${coming} comes` : leaving !== undefined ? `, ${leaving} goes` : "";
  return `${id}${change}${waiting.length === 0 ? "" : `, waits for ${waiting.join(", ")}`}`;
}

const mebibytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1);
