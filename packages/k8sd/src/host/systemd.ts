import type { HostLog } from "./log.ts";
import type { Paths } from "./paths.ts";
import type { Run } from "./run.ts";
import type { ServiceManager } from "./services.ts";

export interface SystemdOptions {
  readonly paths: Paths;
}

export interface SystemdDeps {
  readonly run: Run;
  readonly log: HostLog;
}

export function createSystemd(_options: SystemdOptions, _deps: SystemdDeps): ServiceManager {
  throw new Error("written next");
}
