import type { RecoveryPlan } from "@k8sd/api-types";
import { CliError } from "./cli-error.ts";
import type { CliDeps } from "./deps.ts";

export interface Consent {
  readonly yes: boolean;
  readonly force: boolean;
}

/** Of a plan that was shown. @throws CliError when it must not be carried out, or a person does not want it */
export async function approve(
  { refusal }: Pick<RecoveryPlan, "refusal">,
  { yes, force }: Consent,
  deps: CliDeps,
): Promise<void> {
  if (refusal !== undefined && !(force && refusal.forceable)) {
    throw new CliError(`Error: ${refusal.message}. ${refusal.remedy}\n`);
  }
  if (!yes) await confirm(deps);
}

/** Asks a person once; anything but yes ends the command. */
async function confirm(deps: CliDeps): Promise<void> {
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
