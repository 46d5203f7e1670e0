import type { JoinTokenResponse } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { formatDuration, second } from "../duration.ts";
import { type CommonOptions, openSession, requireRoot } from "../session.ts";
import { countFlag, durationFlag, subcommand, timeoutFlag } from "../usage.ts";

const longestLife = 87_600 * 3_600 * second;

interface Options extends CommonOptions {
  readonly worker?: boolean;
  readonly expiresIn: number;
  readonly uses: number;
  readonly cidr?: readonly string[];
}

export function getJoinTokenCommand(deps: CliDeps): Command {
  const command = subcommand("get-join-token", "Create a token for a node to join the cluster", deps)
    .argument("[node-name]", "name of the node that will join; workers can do without")
    .option("--worker", "generate a join token for a worker node");
  timeoutFlag(command, "1m30s");
  durationFlag(command, "--expires-in", "the time until the token expires", "24h0m0s");
  countFlag(command, "--uses", "how many workers may join with it, without a name", 1);
  command.option(
    "--cidr <cidr>",
    "the node can only join from an address in here, can be given more than once",
    (cidr: string, before: readonly string[] = []) => [...before, cidr],
  );
  return command.action(async (nodeName: string | undefined, options: Options) => {
    requireRoot(deps);
    const { worker = false, expiresIn: ttl, uses, cidr: cidrs = [] } = options;
    const name = nodeName ?? "";
    if (ttl < 0 || ttl > longestLife) {
      const given = `--expires-in ${formatDuration(ttl)}`;
      throw new CliError(`Error: A token cannot be made with ${given}: give a time up to ten years (87600h).\n`);
    }
    if (!worker && name === "") throw new CliError("Error: A node name is required for control-plane nodes.\n");
    const { client, signal } = await openSession(command, deps, options);
    // A daemon that knows only the contract takes no other keys.
    const body = { name, worker, ttl, ...(uses === 1 ? {} : { uses }), ...(cidrs.length === 0 ? {} : { cidrs }) };
    const { token } = await client
      .query<JoinTokenResponse>("POST", "/k8sd/cluster/tokens", { body, signal })
      .catch(failing(`Could not generate a join token for ${JSON.stringify(name)}.`));
    deps.print(`${token}\n`);
  });
}
