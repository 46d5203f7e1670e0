import { CliError } from "./cli-error.ts";
import type { CliDeps } from "./deps.ts";

/** Asks a person once; anything but yes ends the command. */
export async function confirm(deps: CliDeps): Promise<void> {
  const input = deps.stdin();
  if (!("isTTY" in input && input.isTTY === true)) {
    throw new CliError("Error: nobody can be asked whether to go on. Add --yes to do what is shown above.\n");
  }
  deps.printError("Go on? [no]: ");
  const { createInterface } = await import("node:readline");
  using lines = createInterface({ input });
  const { value } = await lines[Symbol.asyncIterator]().next();
  if (!/^y(es)?$/i.test(String(value ?? "").trim())) throw new CliError("Nothing was changed.\n");
}
