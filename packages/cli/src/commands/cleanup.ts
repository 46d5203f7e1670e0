import type { Command } from "commander";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum } from "../duration.ts";
import { requireRoot } from "../session.ts";
import { subcommand, timeoutFlag } from "../usage.ts";

const parts = {
  containers: "End the containers of this node and release what they mounted",
  network: "Remove the routes, the rules of the firewall and the interfaces of this node's network",
  containerd: "Remove the directories of this node's containerd",
  files: "Remove what this node made outside of its own directory",
} as const;

/** For the package that goes: what it takes away is the daemon's matter, but none may be running. */
export function cleanupCommand(deps: CliDeps): Command {
  const command = subcommand("x-cleanup", "Clean up what this node left on its machine", deps).usage("[command]");
  for (const [part, description] of Object.entries(parts)) command.addCommand(partCommand(part, description, deps));
  return command;
}

function partCommand(part: string, description: string, deps: CliDeps): Command {
  const command = subcommand(part, description, deps);
  timeoutFlag(command, "5m");
  return command.action(async ({ timeout }: { readonly timeout: number }) => {
    requireRoot(deps);
    const { execProgram } = await import("../exec-program.ts");
    const milliseconds = atLeastMinimum(timeout, deps.printError) / 1e6;
    const { stateDir } = command.optsWithGlobals<{ stateDir?: string }>();
    const where = stateDir ? ["--state-dir", stateDir] : [];
    execProgram(deps, "k8sd", ["x-cleanup", part, "--timeout-ms", String(milliseconds), ...where]);
  });
}
