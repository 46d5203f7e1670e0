import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createHost } from "../../src/host/create-host.ts";
import type { Host } from "../../src/host/host.ts";
import { createServiceFiles } from "../../src/host/service-files.ts";
import type { ServiceManager, ServiceSpec, ServiceStatus } from "../../src/host/services.ts";

/** A call as the service manager got it: "apply kubelet", "start kubelet". */
export interface RecordingServices extends ServiceManager {
  readonly calls: readonly string[];
  readonly specs: ReadonlyMap<string, ServiceSpec>;
  readonly running: ReadonlySet<string>;
  /** The next calls of this kind ("start kubelet") throw this; undefined ends it. */
  failOn(call: string, error: Error | undefined): void;
  /** What `logs` gives. */
  setLogs(name: string, lines: readonly string[]): void;
}

export interface TestHost extends Host, AsyncDisposable {
  readonly services: RecordingServices;
  /** The temporary directory that stands for "/". */
  readonly root: string;
}

/**
 * A host in a temporary directory: no process is started, its service manager writes the real argument files and remembers
 * what it was told; paths, preflight checks, commands and interfaces are the real ones.
 */
export async function createTestHost(): Promise<TestHost> {
  const root = await mkdtemp(join(tmpdir(), "k8sd-host-"));
  const options = { root, snap: join(root, "snap/k8s/current"), snapCommon: join(root, "var/snap/k8s/common") };
  await mkdir(join(options.snap, "bin"), { recursive: true });
  await mkdir(options.snapCommon, { recursive: true });
  const host = createHost(
    { ...options, serviceManager: "systemd" },
    { services: createRecordingServices(options.snapCommon) },
  );
  return {
    ...host,
    services: host.services as RecordingServices,
    root,
    async [Symbol.asyncDispose]() {
      await host[Symbol.asyncDispose]();
      if (process.env.K8SD_KEEP === undefined) await rm(root, { recursive: true, force: true });
    },
  };
}

export function createRecordingServices(snapCommon: string): RecordingServices {
  const files = createServiceFiles({
    args: join(snapCommon, "args"),
    appliedArgs: join(snapCommon, "lock/applied-args"),
  });
  const calls: string[] = [];
  const specs = new Map<string, ServiceSpec>();
  const running = new Set<string>();
  const failures = new Map<string, Error>();
  const lines = new Map<string, readonly string[]>();
  const record = (verb: string, name: string, signal: AbortSignal): void => {
    signal.throwIfAborted();
    calls.push(`${verb} ${name}`);
    const failure = failures.get(`${verb} ${name}`);
    if (failure !== undefined) throw failure;
  };
  return {
    calls,
    specs,
    running,
    failOn(call, error) {
      if (error === undefined) failures.delete(call);
      else failures.set(call, error);
    },
    setLogs: (name, text) => void lines.set(name, text),
    async apply(spec, signal) {
      record("apply", spec.name, signal);
      const sameSpec = JSON.stringify(specs.get(spec.name)) === JSON.stringify(spec);
      specs.set(spec.name, spec);
      const filesChanged = await files.apply(spec);
      return sameSpec ? filesChanged : "changed";
    },
    async start(name, signal) {
      record("start", name, signal);
      running.add(name);
    },
    async stop(name, signal) {
      record("stop", name, signal);
      running.delete(name);
    },
    async restart(name, signal) {
      record("restart", name, signal);
      running.add(name);
    },
    async status(name): Promise<ServiceStatus> {
      return { state: running.has(name) ? "running" : "stopped" };
    },
    async statuses(names): Promise<readonly ServiceStatus[]> {
      return names.map((name) => ({ state: running.has(name) ? "running" : "stopped" }));
    },
    async remove(name, signal) {
      record("remove", name, signal);
      running.delete(name);
      specs.delete(name);
      await files.remove(name);
    },
    async logs(name, count) {
      return (lines.get(name) ?? []).slice(-count);
    },
  };
}
