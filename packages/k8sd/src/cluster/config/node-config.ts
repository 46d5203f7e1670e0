import { isAbsolute } from "node:path";
import { parseIp } from "./cidr.ts";
import type { Problem } from "./problems.ts";
import type { NodeConfig } from "./types.ts";

/** What must hold before anything of a node's own configuration becomes a file or a flag. */
export function nodeProblems(node: NodeConfig): readonly Problem[] {
  return [
    ...baseDirProblems(node),
    ...sanProblems(node),
    ...fileProblems(node),
    ...flagProblems(node),
    ...containerdProblems(node),
  ];
}

function baseDirProblems({ containerdBaseDir }: NodeConfig): readonly Problem[] {
  if (containerdBaseDir === undefined || isAbsolute(containerdBaseDir)) return [];
  const message = `containerd-base-dir must be an absolute path, got ${JSON.stringify(containerdBaseDir)}`;
  return [{ field: "containerd-base-dir", message, remedy: "Give a path that begins with /." }];
}

const dnsName = /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;

function sanProblems({ extraSans }: NodeConfig): readonly Problem[] {
  return extraSans
    .filter((san) => parseIp(san) === undefined && (san.length > 253 || !dnsName.test(san)))
    .map((san) => ({
      field: "extra-sans",
      message: `extra-sans contains ${JSON.stringify(san)}, which is neither an IP address nor a DNS name`,
      remedy: "Give addresses without port and names without scheme.",
    }));
}

function fileProblems({ extraFiles }: NodeConfig): readonly Problem[] {
  return Object.keys(extraFiles)
    .filter((name) => name === "" || name === "." || name === ".." || /[/\0]/.test(name) || name.length > 255)
    .map((name) => ({
      field: "extra-node-config-files",
      message: `extra-node-config-files contains ${JSON.stringify(name)}, which is not a file name`,
      remedy: "Files are written into one directory: give names without /.",
    }));
}

/** A newline in a value would become a flag of its own in the argument file. */
function flagProblems({ extraArgs }: NodeConfig): readonly Problem[] {
  return Object.entries(extraArgs).flatMap(([service, flags]) => {
    const field = `extra-node-${service}-args`;
    return Object.entries(flags ?? {}).flatMap(([name, value]): Problem[] => {
      if (!/^--[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) {
        const message = `${field} contains ${JSON.stringify(name)}, which is not the name of a flag`;
        return [{ field, message, remedy: 'Write flags as "--name", without value.' }];
      }
      if (value === null || !/[\n\r\0]/.test(value)) return [];
      return [
        {
          field,
          message: `${field} has a line break in the value of ${name}`,
          remedy: "Flags have values of one line.",
        },
      ];
    });
  });
}

/** Names of the versions that are brought to those of the configuration that is written. */
const containerdVersions: readonly unknown[] = [undefined, 2, 3];

function containerdProblems({ containerdConfig: { version } }: NodeConfig): readonly Problem[] {
  if (containerdVersions.includes(version)) return [];
  return [
    {
      field: "extra-node-containerd-config",
      message: `extra-node-containerd-config has version ${JSON.stringify(version)}, which is not known`,
      remedy: "Write it with the names of version 2 or 3.",
    },
  ];
}
