import type { RecoverRequest, RecoverResponse, RecoveryPlan } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum, second } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";

interface Options {
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly outputFormat: string;
  readonly timeout: number;
}

/** So that the daemon, which has the timeout itself, is the one to report that it passed. */
const grace = 30 * second;

export function recoverCommand(deps: CliDeps): Command {
  const command = subcommand("recover", "Bring the cluster back after it lost most of its control planes", deps)
    .option("--yes", "do it without asking")
    .option("--force", "do it although another node has more data, or a majority may come back")
    .option("--output-format <format>", "set the output format to one of plain, json or yaml", "plain");
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "15m");
  return command.action(async (options: Options) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const force = options.force ?? false;
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout + grace);
    await requireLocalNode(client, signal);
    const fail = (error: unknown): never => {
      throw failed("Failed to recover the cluster.", error);
    };
    const plan = await client.query<RecoveryPlan>("GET", "/k8sd/cluster/recovery", { signal }).catch(fail);
    const { recoveryPlanText, recoveryOutput } = await import("../format/recovery.ts");
    deps.printError(recoveryPlanText(plan));
    if (plan.refusal !== undefined && !(force && plan.refusal.forceable)) {
      throw new CliError(`Error: ${plan.refusal.message}. ${plan.refusal.remedy}\n`);
    }
    if (!options.yes) {
      const { confirm } = await import("../confirm.ts");
      await confirm(deps);
    }
    const { followOperation } = await import("../follow.ts");
    const body: RecoverRequest = { force, timeout };
    const result = await followOperation<RecoverResponse>(
      client,
      { path: "/k8sd/cluster/recovery", body, signal },
      deps,
    ).catch(fail);
    deps.print(await render(recoveryOutput(result), format));
  });
}
