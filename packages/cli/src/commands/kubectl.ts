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
    const { accessSync, constants, existsSync } = await import("node:fs");
    const { join } = await import("node:path");
    const candidates = ["admin.conf", "kubelet.conf"].map((name) => join(deps.root, "etc/kubernetes", name));
    const kubeconfig = deps.env.KUBECONFIG ?? candidates.find((path) => existsSync(path));
    if (kubeconfig === undefined) {
      throw new CliError(`Error: ${candidates.join(" and ")} do not exist; please set KUBECONFIG.\n`);
    }
    const file = join(deps.env.SNAP || "/snap/k8s/current", "bin/kubectl");
    try {
      accessSync(file, constants.X_OK);
    } catch (error) {
      const remedy = "Check the installation of k8s, or set SNAP to its directory.";
      throw new CliError(`Error: cannot run ${file}: not found or not executable. ${remedy}\n`, { cause: error });
    }
    const EDITOR = deps.env.EDITOR ?? "nano";
    deps.exec(file, [file, ...args], { ...deps.env, KUBECONFIG: kubeconfig, EDITOR });
  });
}
