import { dirname } from "node:path";
import type { Logger } from "pino";
import { kubeApiserver } from "../../components/kube-apiserver.ts";
import { portNeeds } from "../../components/ports.ts";
import { type Copy, startCopy } from "../../datastore/migrate/copy.ts";
import { openStore, type StoreAccess } from "../../datastore/migrate/store-access.ts";
import type { Host } from "../../host/host.ts";
import { conflictsError } from "../../host/preflight.ts";
import { syncDirectory } from "../../lib/write-file.ts";
import type { IdentityStore } from "../../node-db/identity.ts";
import type { Executors, StepContext } from "../../operations/plan.ts";
import { awaitService } from "../bootstrap/await-service.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { datastoreOptions } from "../connections.ts";
import { createLedger } from "../ledger.ts";
import { dataOf, engineOf, onPort, secludedEngineOf } from "./engines.ts";
import type { ManagedEngine, MigrateInput, MigrateStep } from "./plan.ts";
import { otherControlPlanes } from "./preconditions.ts";
import { refuseData, removeData, removeTarget, startTarget } from "./target.ts";

export interface MigrateDeps {
  readonly host: Host;
  readonly log: Logger;
  readonly now: () => number;
  readonly identity: Pick<IdentityStore<BootstrapInput>, "commit">;
  readonly member: {
    /** Ends what works with the datastore on this node; its listener stays. */
    rest(): Promise<void>;
  };
  /** What runs on members starts. */
  readonly joined: () => void;
}

/** A copy under way. It does not outlive the daemon: without it all is taken back. */
interface UnderWay extends AsyncDisposable {
  readonly copy: Copy;
  readonly target: StoreAccess;
}

const inputOf = (context: StepContext): MigrateInput => context.input as unknown as MigrateInput;

export function createMigrateExecutors(deps: MigrateDeps): Executors<MigrateStep> {
  const { host, log } = deps;
  const { services, paths } = host;
  let underWay: UnderWay | undefined;
  let pausedAt: number | undefined;

  const sourceOf = async ({ before }: MigrateInput) => openStore(await datastoreOptions(before.view));

  async function endCopy(): Promise<void> {
    const ended = underWay;
    underWay = undefined;
    await ended?.[Symbol.asyncDispose]();
  }

  function current(): UnderWay {
    if (underWay !== undefined) return underWay;
    throw new Error("the copy of the datastore is not under way");
  }

  return {
    "set-up-target": {
      run: async (_step, context) => {
        const input = inputOf(context);
        await refuseData(input.after.view, host);
        context.remember({ own: true });
        await using source = await sourceOf(input);
        const { revision } = await source.data.status({ signal: context.signal });
        await startTarget(input, revision, host, context.signal);
      },
      undo: async (_step, context) => {
        // Without a note nothing was begun: what lies there is somebody else's.
        if (context.note !== undefined) await removeTarget(inputOf(context), host, context.signal);
      },
    },

    "copy-data": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const stack = new AsyncDisposableStack();
        try {
          const source = stack.use(await sourceOf(input));
          const target = stack.use(openStore(await datastoreOptions(onPort(input.after.view, input.ports.target))));
          const progress = (done: number, of: number): void => context.progress({ done, of, note: "keys" });
          // It goes on over the next steps, which end it.
          const signal = context.signal;
          const copy = stack.use(await startCopy({ source, target, signal, progress }));
          underWay = { copy, target, [Symbol.asyncDispose]: () => stack.disposeAsync() };
        } catch (error) {
          await stack.disposeAsync();
          throw error;
        }
      },
      undo: endCopy,
    },

    "pause-writes": {
      run: async (_step, context) => {
        const { before, ports } = inputOf(context);
        await deps.member.rest();
        pausedAt = performance.now();
        const engine = secludedEngineOf(before.view);
        const view = onPort(before.view, ports.source);
        await services.apply(engine.render(view).service, context.signal);
        await services.restart(engine.name, context.signal);
        await awaitService(engine, view, services, context.signal);
      },
      undo: async (_step, context) => {
        const { view } = inputOf(context).before;
        await endCopy();
        const engine = engineOf(view);
        await services.apply(engine.render(view).service, context.signal);
        await services.start(engine.name, context.signal);
        await services.restart(engine.name, context.signal);
        await awaitService(engine, view, services, context.signal);
        deps.joined();
      },
    },

    "finish-copy": {
      run: async (_step, context) => {
        const { nodeId, before, after, ports } = inputOf(context);
        const { signal } = context;
        const { copy, target } = current();
        await using source = openStore(await datastoreOptions(onPort(before.view, ports.source)));
        const report = await copy.finish(source);
        const engine = after.view.datastore.engine as ManagedEngine;
        if (engine === "sqlite") {
          const conflicts = await otherControlPlanes({ nodeId, datastore: async () => target.data }, signal);
          if (conflicts.length > 0) throw conflictsError("migrate the datastore", conflicts);
        }
        await createLedger(target.data).setEngine(engine, signal);
        const { keys, leases, hash, sourceRevision, targetRevision } = report;
        log.info({ keys, leases, hash, sourceRevision, targetRevision }, "The copy is complete and equal");
        context.conclude(`${keys} keys are equal`);
      },
    },

    "stop-engines": {
      run: async (_step, context) => {
        const { before, after } = inputOf(context);
        await endCopy();
        await Promise.all([before, after].map(({ view }) => services.stop(engineOf(view).name, context.signal)));
        const data = dataOf(paths, after.view.datastore.engine as ManagedEngine);
        await syncDirectory(data);
        await syncDirectory(dirname(data));
        // From the next step on there is no way back to an engine that could listen there.
        const conflicts = await host.preflight.ports(
          portNeeds(after.view, [engineOf(after.view).name]),
          context.signal,
        );
        if (conflicts.length > 0) throw conflictsError("migrate the datastore", conflicts);
      },
    },

    "commit-engine": {
      run: async (_step, context) => {
        const { nodeId, clusterId, after } = inputOf(context);
        context.commit(() => deps.identity.commit({ id: nodeId, clusterId, view: after }, deps.now()));
      },
    },

    "start-engine": {
      run: async (_step, context) => {
        const { view } = inputOf(context).after;
        const engine = engineOf(view);
        await services.apply(engine.render(view).service, context.signal);
        await services.start(engine.name, context.signal);
        await awaitService(engine, view, services, context.signal);
        if (pausedAt === undefined) return;
        const pauseMs = Math.round(performance.now() - pausedAt);
        pausedAt = undefined;
        log.info({ pauseMs }, "The datastore takes writes again");
        context.conclude(`writes were paused for ${pauseMs} ms`);
      },
    },

    "resume-member": { run: async () => deps.joined() },

    "await-api-server": {
      run: (_step, context) => awaitService(kubeApiserver, inputOf(context).after.view, services, context.signal),
    },

    "remove-source": {
      run: async (_step, context) => {
        const { view } = inputOf(context).before;
        await services.remove(engineOf(view).name, context.signal);
        await removeData(view, host);
      },
    },
  };
}
