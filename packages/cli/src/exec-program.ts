import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { CliError } from "./cli-error.ts";
import type { CliDeps } from "./deps.ts";

/** Becomes a program that was installed with this one. */
export function execProgram(
  deps: CliDeps,
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): void {
  const file = join(deps.env.SNAP || "/snap/k8s/current", "bin", name);
  try {
    accessSync(file, constants.X_OK);
  } catch (error) {
    const remedy = "Check the installation of k8s, or set SNAP to its directory.";
    throw new CliError(`Error: cannot run ${file}: not found or not executable. ${remedy}\n`, { cause: error });
  }
  deps.exec(file, [file, ...args], { ...deps.env, ...env });
}
