import type { Command } from "commander";
import { CliError } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { requireRoot } from "../session.ts";
import { subcommand } from "../usage.ts";

export function kubectlCommand(deps: CliDeps): Command {
  const command = subcommand("kubectl", "Integrated Kubernetes kubectl client", deps)
    .usage("...")
    .argument("[args...]")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions();
  return command.action(async (args: readonly string[]) => {
    requireRoot(deps);
    const { existsSync } = await import("node:fs");
    const { join } = await import("node:path");
    const candidates = ["admin.conf", "kubelet.conf"].map((name) => join(deps.root, "etc/kubernetes", name));
    const kubeconfig = deps.env.KUBECONFIG ?? candidates.find((path) => existsSync(path));
    if (kubeconfig === undefined) {
      throw new CliError(`Error: ${candidates.join(" and ")} do not exist; please set KUBECONFIG.\n`);
    }
    const { execProgram } = await import("../exec-program.ts");
    execProgram(deps, "kubectl", args, { KUBECONFIG: kubeconfig, EDITOR: deps.env.EDITOR ?? "nano" });
  });
}
