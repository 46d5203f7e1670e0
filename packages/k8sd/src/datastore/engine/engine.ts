import type { Backend } from "./backend.ts";
import type { Method } from "./grpc-call.ts";
import { kvMethods } from "./kv-service.ts";
import { leaseMethods } from "./lease-service.ts";
import { maintenanceMethods } from "./maintenance-service.ts";
import type { Headers } from "./unary.ts";
import { watchMethods } from "./watch-service.ts";

export interface EngineOptions {
  readonly name: string;
  readonly progressIntervalMs: number;
}

export interface EngineDeps {
  readonly backend: Backend;
  /** The addresses clients are told; known once the listeners are up. */
  readonly clientUrls: () => readonly string[];
}

/** A store behind the calls of the etcd v3 API; no network. */
export interface Engine {
  readonly methods: ReadonlyMap<string, Method>;
  stop(): Promise<void>;
}

/** There is one member and no raft; clients only compare the term. */
const raftTerm = 2;

export function createEngine(options: EngineOptions, { backend, clientUrls }: EngineDeps): Engine {
  const { read, running, queue, hub, lessor, compactor, room, maintenance } = backend;
  const headers: Headers = (revision = backend.revision()) => ({
    clusterId: backend.clusterId,
    memberId: backend.memberId,
    revision,
    raftTerm,
  });
  const progress = setInterval(hub.notifyProgress, options.progressIntervalMs);

  return {
    methods: new Map<string, Method>([
      ...kvMethods({ read, running, queue, compactor, room, headers }),
      ...watchMethods(backend, headers),
      ...leaseMethods({ lessor, read, room, headers }),
      ...maintenanceMethods({ store: backend, maintenance, room, headers, member: { name: options.name, clientUrls } }),
    ]),
    async stop() {
      clearInterval(progress);
      await backend.stop();
    },
  };
}
