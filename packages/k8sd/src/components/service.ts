import { join } from "node:path";
import { searchPath } from "../host/search-path.ts";
import type { ServiceSpec } from "../host/services.ts";
import { mergeArguments, validateExtraArguments } from "./arguments.ts";
import type { NodeView } from "./component.ts";

export interface ServiceOptions {
  readonly name: string;
  readonly description: string;
  /** Defaults; an argument that is undefined is left out. The user's extra arguments are merged over them here. */
  readonly args: Readonly<Record<string, string | undefined>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly after?: readonly string[];
  readonly notifies?: boolean;
  readonly delegates?: boolean;
  readonly kill?: "group" | "process";
  readonly stopTimeoutSeconds?: number;
}

/** A program of `$SNAP/bin` with the environment all of them share. */
export function componentService(node: NodeView, options: ServiceOptions): ServiceSpec {
  const extra = node.extraArgs[options.name];
  if (extra !== undefined) validateExtraArguments({ [options.name]: extra });
  return {
    name: options.name,
    description: options.description,
    program: join(node.paths.bin, options.name),
    args: mergeArguments(options.args, extra),
    env: { PATH: searchPath(node.paths.snap), ...options.env },
    after: options.after ?? [],
    notifies: options.notifies ?? false,
    delegates: options.delegates ?? false,
    kill: options.kill ?? "group",
    stopTimeoutSeconds: options.stopTimeoutSeconds ?? 30,
  };
}

/** The value an argument really has, for those who talk to the program: extra arguments may have moved a port. */
export function effectiveArgument(service: ServiceSpec, name: string, otherwise: string): string {
  return service.args[name] ?? otherwise;
}
