import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { hostsUnavailable } from "../hosts/available.ts";

interface Requirement {
  readonly program: string;
  readonly why: string;
  readonly kubernetesOnly: boolean;
}

const requirements: readonly Requirement[] = [
  { program: "ip", why: "networks of test hosts (Debian: iproute2)", kubernetesOnly: false },
  { program: "unshare", why: "namespaces of test hosts (Debian: util-linux)", kubernetesOnly: false },
  { program: "nsenter", why: "commands in test hosts (Debian: util-linux)", kubernetesOnly: false },
  { program: "curl", why: "calls of the daemon's socket (Debian: curl)", kubernetesOnly: false },
];

/** What is not there, and what to do about it; one line each. The sources of the programs tell for themselves. */
export async function explainMissing(options: { readonly kubernetes: boolean }): Promise<readonly string[]> {
  const lines: string[] = [];
  const unavailable = hostsUnavailable();
  if (unavailable !== undefined) lines.push(unavailable);
  for (const { program, why, kubernetesOnly } of requirements) {
    if (kubernetesOnly && !options.kubernetes) continue;
    if (!(await onPath(program))) lines.push(`the program ${program} is missing; it is needed for ${why}`);
  }
  return lines;
}

async function onPath(program: string): Promise<boolean> {
  const directories = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  const found = await Promise.all(
    directories.map((directory) =>
      access(join(directory, program), constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
}
