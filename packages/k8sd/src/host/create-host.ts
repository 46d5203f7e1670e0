import { hostname } from "node:os";
import { assertNever } from "../lib/assert-never.ts";
import { detectCgroups } from "./cgroups.ts";
import type { RunningHost } from "./host.ts";
import { readInterfaces } from "./interfaces.ts";
import { type HostLog, silentLog } from "./log.ts";
import { createPaths, type Paths, type PathsOptions } from "./paths.ts";
import type { Shutdown } from "./pebble-plan.ts";
import { createPreflight } from "./preflight.ts";
import { createRun, type Run } from "./run.ts";
import { searchPath } from "./search-path.ts";
import type { ServiceManager } from "./services.ts";
import { createSnapServices } from "./snap.ts";
import { createSupervisor } from "./supervisor.ts";
import { createSystemd } from "./systemd.ts";

export interface HostOptions extends PathsOptions {
  readonly serviceManager: "systemd" | "snap" | "supervisor";
  /** `$SNAP_INSTANCE_NAME`; default "k8s". */
  readonly snapInstance?: string | undefined;
  /** `$SNAP_DATA`, when there is one: argument files may refer to it. */
  readonly snapData?: string | undefined;
}

export interface HostDeps {
  readonly log?: HostLog;
  /** Instead of the service manager of the options. */
  readonly services?: ServiceManager;
  /** With `supervisor`: a layer asks that the daemon ends when this service or check fails. */
  readonly onShutdown?: (how: Shutdown, cause: string) => void;
}

const cgroupMount = "/sys/fs/cgroup";

/** The machine this process runs on. */
export function createHost(options: HostOptions, deps: HostDeps = {}): RunningHost {
  const paths = createPaths(options);
  const cgroups = detectCgroups(cgroupMount);
  const run = createRun({ PATH: searchPath(paths.snap, process.env.PATH) });
  const { services, resume, close } = createServices(options, paths, run, deps);
  return {
    paths,
    hostname: hostname(),
    services,
    preflight: createPreflight({ proc: "/proc", cgroupMount, cgroups }, { uid: () => process.geteuid?.() ?? 0 }),
    interfaces: readInterfaces,
    run,
    cgroups,
    resume,
    [Symbol.asyncDispose]: close,
  };
}

interface ServicesWithLife {
  readonly services: ServiceManager;
  readonly resume: RunningHost["resume"];
  readonly close: () => Promise<void>;
}

/** systemd and snapd keep services running by themselves: only the supervisor has a life of its own. */
function createServices(options: HostOptions, paths: Paths, run: Run, deps: HostDeps): ServicesWithLife {
  const { log = silentLog } = deps;
  const lifeless = (services: ServiceManager): ServicesWithLife => ({
    services,
    resume: async () => {},
    close: async () => {},
  });
  if (deps.services !== undefined) return lifeless(deps.services);
  switch (options.serviceManager) {
    case "systemd":
      return lifeless(
        createSystemd(
          { paths, ...(options.snapData === undefined ? {} : { snapData: options.snapData }) },
          { run, log },
        ),
      );
    case "snap":
      return lifeless(createSnapServices({ paths, instance: options.snapInstance ?? "k8s" }, { run, log }));
    case "supervisor": {
      const supervisor = createSupervisor(
        { paths },
        { log, ...(deps.onShutdown === undefined ? {} : { onShutdown: deps.onShutdown }) },
      );
      return { services: supervisor, resume: supervisor.resume, close: async () => supervisor[Symbol.asyncDispose]() };
    }
    default:
      return assertNever(options.serviceManager);
  }
}
