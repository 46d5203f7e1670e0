import { AppError } from "../lib/app-error.ts";

export type Arguments = Readonly<Record<string, string>>;
export type ExtraArguments = Readonly<Record<string, string | null>>;

/** Programs whose arguments a user can change; the configuration key of each is `extra-node-<name>-args`. */
const configurable: ReadonlySet<string> = new Set([
  "containerd",
  "etcd",
  "k8s-apiserver-proxy",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-proxy",
  "kube-scheduler",
  "kubelet",
]);

/** Longest value of one argument: the kernel's limit for one string of a command line is 128 KiB. */
const longestValue = 64 * 1024;

/** Throws for the first argument that no program could take; the whole configuration is looked at before anything is written. */
export function validateExtraArguments(extra: Readonly<Record<string, ExtraArguments>>): void {
  for (const [component, args] of Object.entries(extra)) {
    const field = `extra-node-${component}-args`;
    if (!configurable.has(component)) {
      throw new AppError("invalid", `cannot set arguments of ${component}: there is no such service`, {
        field,
        remedy: `Use one of: ${[...configurable].join(", ")}.`,
      });
    }
    for (const [name, value] of Object.entries(args)) {
      if (!/^--[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
        throw new AppError("invalid", `cannot set argument ${JSON.stringify(name)} of ${component}: not a flag`, {
          field,
          remedy: "Write the name as '--name', without value, spaces or quotes.",
        });
      }
      if (value !== null && (/[\0\r\n]/.test(value) || Buffer.byteLength(value) > longestValue)) {
        throw new AppError("invalid", `cannot set ${name} of ${component}: the value has a line break or is too long`, {
          field,
          remedy: `Give one line of at most ${longestValue / 1024} KiB; put longer content into extra-node-config-files.`,
        });
      }
    }
  }
}

/** The arguments of one program: a user's value sets, null deletes. Sorted by name, so that equal wishes give equal files. */
export function mergeArguments(
  defaults: Readonly<Record<string, string | undefined>>,
  extra: ExtraArguments = {},
): Arguments {
  const merged = Object.entries({ ...defaults, ...extra }).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return Object.fromEntries(merged.sort(([a], [b]) => (a < b ? -1 : 1)));
}
