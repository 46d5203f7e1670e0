import { readFile } from "node:fs/promises";

import { AppError } from "../lib/app-error.ts";
import type { Identity } from "./pebble-plan.ts";

export interface Ids {
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

/** Names of the host's user tables → numbers; a user without a group runs with the user's own group. */
export async function resolveIdentity({ user, group }: Pick<Identity, "user" | "group">): Promise<Ids> {
  const account = user === undefined ? undefined : await find("/etc/passwd", user, "user");
  const gid = group === undefined ? account?.[3] : (await find("/etc/group", group, "group"))[2];
  return {
    uid: account === undefined ? undefined : Number(account[2]),
    gid: gid === undefined ? undefined : Number(gid),
  };
}

/** Both tables have the name first and the number third. A number needs no entry. */
async function find(table: string, wanted: string | number, what: string): Promise<readonly string[]> {
  const rows = (await readFile(table, "utf8")).split("\n").map((line) => line.split(":"));
  const row = rows.find((fields) => (typeof wanted === "number" ? fields[2] === String(wanted) : fields[0] === wanted));
  if (row !== undefined) return row;
  if (typeof wanted === "number") return ["", "", String(wanted), String(wanted)];
  throw new AppError("not-found", `cannot find the ${what} ${wanted} in ${table}`, {
    remedy: `Create it or correct the layers.`,
  });
}
