import type { SetAddressRequest, SetAddressResponse } from "@k8sd/api-types";
import { type Command, Option } from "commander";
import { failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, openSession } from "../session.ts";
import { outputFlag, subcommand, timeoutFlag, usageError } from "../usage.ts";

interface Options extends CommonOptions {
  readonly peer: Readonly<Record<string, string>>;
}

export function setAddressCommand(deps: CliDeps): Command {
  const command = subcommand(
    "set-address",
    "Change the address of this node, or tell it where others are now",
    deps,
  ).argument("[address]", "new address or CIDR of this node");
  outputFlag(command);
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
  timeoutFlag(command, "5m");
  return command.action(async (address: string | undefined, { peer, ...options }: Options) => {
    if (!address && Object.keys(peer).length === 0) {
      throw usageError(command, "give the new address of this node, or --peer");
    }
    const { follow, print } = await openSession(command, deps, options, { operation: true });
    const body = { address: address ?? "", peers: { ...peer } };
    const result = await follow<SetAddressRequest, SetAddressResponse>("/k8sd/node/address", body).catch(
      failing("Failed to change the address."),
    );
    const { addressOutput } = await import("../format/address.ts");
    await print(addressOutput(result));
  });
}
