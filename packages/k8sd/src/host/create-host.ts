import { hostname } from "node:os";
import { delimiter, join } from "node:path";

import { detectCgroups } from "./cgroups.ts";
import type { RunningHost } from "./host.ts";
import { readInterfaces } from "./interfaces.ts";
import { type HostLog, silentLog } from "./log.ts";
import { createPaths, type PathsOptions } from "./paths.ts";
import { createPreflight } from "./preflight.ts";
import { createRun } from "./run.ts";
import type { ServiceManager } from "./services.ts";
import { createSystemd } from "./systemd.ts";

export interface HostOptions extends PathsOptions {
  readonly serviceManager: "systemd" | "snap" | "supervisor";
}

export interface HostDeps {
  readonly log?: HostLog;
  /** Instead of the service manager of the options. */
  readonly services?: ServiceManager;
}

const cgroupMount = "/sys/fs/cgroup";

/** The machine this process runs on. */
export function createHost(options: HostOptions, deps: HostDeps = {}): RunningHost {
  const paths = createPaths(options);
  const log = deps.log ?? silentLog;
  const cgroups = detectCgroups(cgroupMount);
  const run = createRun({
    PATH: [paths.bin, join(paths.snap, "sbin"), process.env.PATH ?? "/usr/sbin:/usr/bin"].join(delimiter),
  });
  const services =
    deps.services ??
    createSystemd(
      { paths, ...(process.env.SNAP_DATA === undefined ? {} : { snapData: process.env.SNAP_DATA }) },
      { run, log },
    );
  return {
    paths,
    hostname: hostname(),
    services,
    preflight: createPreflight({ proc: "/proc", cgroupMount, cgroups }, { uid: () => process.geteuid?.() ?? 0 }),
    interfaces: readInterfaces,
    run,
    cgroups,
    async resume() {},
    async [Symbol.asyncDispose]() {},
  };
}
