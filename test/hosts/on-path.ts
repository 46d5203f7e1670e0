import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Where a program of this machine is; undefined when it is not there. */
export function findOnPath(program: string): string | undefined {
  const directories = (process.env.PATH ?? "").split(delimiter);
  return directories.map((directory) => join(directory, program)).find((path) => existsSync(path));
}
