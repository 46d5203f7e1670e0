import type { RecoverRequest, RecoverResponse, RecoveryPlan } from "@k8sd/api-types";
import type { Command } from "commander";
import { failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, openSession } from "../session.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

interface Options extends CommonOptions {
  readonly yes?: boolean;
  readonly force?: boolean;
}

export function recoverCommand(deps: CliDeps): Command {
  const command = subcommand("recover", "Bring the cluster back after it lost most of its control planes", deps)
    .option("--yes", "do it without asking")
    .option("--force", "do it although another node has more data, or a majority may come back");
  outputFlag(command);
  timeoutFlag(command, "15m");
  return command.action(async ({ yes = false, force = false, ...options }: Options) => {
    const { client, signal, follow, print } = await openSession(command, deps, options, { operation: true });
    const fail = failing("Failed to recover the cluster.");
    const plan = await client.query<RecoveryPlan>("GET", "/k8sd/cluster/recovery", { signal }).catch(fail);
    const { recoveryPlanText, recoveryOutput } = await import("../format/recovery.ts");
    // What cannot be done at all is not shown as if it could.
    if (plan.refusal?.forceable !== false) deps.printError(recoveryPlanText(plan));
    const { approve } = await import("../approve.ts");
    await approve(plan, { yes, force }, deps);
    const result = await follow<RecoverRequest, RecoverResponse>("/k8sd/cluster/recovery", { force }).catch(fail);
    await print(recoveryOutput(result));
  });
}
