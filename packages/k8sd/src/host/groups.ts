import { readFile } from "node:fs/promises";
import { AppError } from "../lib/app-error.ts";

/** Id of a group of this machine, by its name or number. */
export async function groupId(group: string): Promise<number> {
  if (/^\d+$/.test(group)) return Number(group);
  const line = (await readFile("/etc/group", "utf8")).split("\n").find((entry) => entry.startsWith(`${group}:`));
  const id = Number(line?.split(":")[2]);
  if (line !== undefined && Number.isInteger(id)) return id;
  throw new AppError("invalid", `cannot give the control socket to the group ${group}: there is no such group`, {
    field: "SOCKET_GROUP",
    remedy: "Name a group that exists, or leave SOCKET_GROUP out.",
  });
}
