import type { MeshStatus } from "@k8sd/api-types";
import type { Command } from "commander";
import { failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, openSession } from "../session.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

export function meshCommand(deps: CliDeps): Command {
  const command = subcommand("mesh", "Show how this node reaches the others, and why not where it does not", deps);
  outputFlag(command);
  timeoutFlag(command, "1m30s");
  return command.action(async (options: CommonOptions) => {
    const { client, signal, print } = await openSession(command, deps, options);
    const status = await client
      .query<MeshStatus>("GET", "/k8sd/mesh", { signal })
      .catch(failing("Could not ask for the state of the mesh."));
    const { meshOutput } = await import("../format/mesh.ts");
    await print(meshOutput(status));
  });
}
