import { join } from "node:path";
import { AppError } from "../lib/app-error.ts";
import type { WantedFile } from "../lib/write-file.ts";
import type { NodeView } from "./component.ts";

/** The user's own files, for arguments that refer to them (audit policies, admission configuration). */
export function extraConfigFiles(node: NodeView): readonly WantedFile[] {
  const { authTokenWebhook, authorizationConfig, authorizationWebhook, kubeletConfig } = node.paths;
  const ours = new Set([authTokenWebhook, authorizationConfig, authorizationWebhook, kubeletConfig]);
  return Object.entries(node.extraConfigFiles).map(([name, content]) => {
    const path = join(node.paths.confD, name);
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,200}$/.test(name) || ours.has(path)) {
      throw new AppError(
        "invalid",
        `cannot write the file ${JSON.stringify(name)}: ${ours.has(path) ? "k8sd writes it" : "not a file name"}`,
        {
          field: "extra-node-config-files",
          remedy: "Use a name of letters, digits, '.', '_' and '-', without a folder.",
        },
      );
    }
    return { path, content, mode: 0o400 };
  });
}
