import type { SetAddressRequest, SetAddressResponse } from "@k8sd/api-types";
import { type Command, Option } from "commander";
import { failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum, second } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand, usageError } from "../usage.ts";

interface Options {
  readonly peer: Readonly<Record<string, string>>;
  readonly outputFormat: string;
  readonly timeout: number;
}

/** So that the daemon, which has the timeout itself, is the one to report that it passed. */
const grace = 30 * second;

export function setAddressCommand(deps: CliDeps): Command {
  const command = subcommand("set-address", "Change the address of this node, or tell it where others are now", deps)
    .argument("[address]", "new address or CIDR of this node")
    .option("--output-format <format>", "set the output format to one of plain, json or yaml", "plain");
  const collect = (text: string, before: Readonly<Record<string, string>>) => {
    const [, name, address] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (name !== undefined && address !== undefined) return { ...before, [name]: address };
    throw usageError(command, `invalid argument ${JSON.stringify(text)} for "--peer" flag: it must be NAME=ADDRESS`);
  };
  command.addOption(
    new Option("--peer <name=address>", "where another node is now, may be given several times")
      .argParser(collect)
      .default({}, ""),
  );
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "5m");
  return command.action(async (address: string | undefined, options: Options) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    if (!address && Object.keys(options.peer).length === 0) {
      throw usageError(command, "give the new address of this node, or --peer");
    }
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout + grace);
    await requireLocalNode(client, signal);
    const { followOperation } = await import("../follow.ts");
    const body: SetAddressRequest = { address: address ?? "", peers: { ...options.peer }, timeout };
    const result = await followOperation<SetAddressResponse>(
      client,
      { path: "/k8sd/node/address", body, signal },
      deps,
    ).catch((error: unknown) => {
      throw failed("Failed to change the address.", error);
    });
    const { addressOutput } = await import("../format/address.ts");
    deps.print(await render(addressOutput(result), format));
  });
}
