import { dirname } from "node:path";
import type { Logger } from "pino";
import { kubeApiserver } from "../../components/kube-apiserver.ts";
import { portNeeds } from "../../components/ports.ts";
import { dropDatabase } from "../../datastore/check-postgres.ts";
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
import { createLedger, type EngineRecord } from "../ledger.ts";
import type { NodeKey } from "../node-key.ts";
import type { Seal } from "../seal.ts";
import { sealDatabaseUrl } from "./access.ts";
import { dataOf, engineOf, onPort, secludedEngineOf, targetOf } from "./engines.ts";
import type { MigrateInput, MigrateStep } from "./plan.ts";
import { loneProblems } from "./preconditions.ts";
import { refuseData, removeData, removeTarget, startTarget } from "./target.ts";
import { endTrial, tryEngine } from "./trial.ts";

export interface MigrateDeps {
  readonly host: Host;
  readonly log: Logger;
  readonly now: () => number;
  readonly identity: Pick<IdentityStore<BootstrapInput>, "commit">;
  readonly member: {
    /** Ends what works with the datastore on this node; its listener stays. */
    rest(): Promise<void>;
  };
  readonly seal: () => Promise<Seal>;
  readonly nodeKey: Pick<NodeKey, "certificate">;
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

  const sourceOf = async ({ before }: MigrateInput) => openStore(await datastoreOptions(before.view));

  async function endCopy(): Promise<void> {
    const ended = underWay;
    underWay = undefined;
    await ended?.[Symbol.asyncDispose]();
  }

  /** A database that is away cannot hold up the cluster; the next migration to it says what is there. */
  async function forget(url: string, signal: AbortSignal): Promise<void> {
    await dropDatabase(url, signal).catch((error: unknown) => {
      log.warn({ err: error }, "Could not take back the schema k8s_datastore in the database");
    });
  }

  function current(): UnderWay {
    if (underWay !== undefined) return underWay;
    throw new Error("the copy of the datastore is not under way");
  }

  return {
    "set-up-target": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const url = context.secret;
        await refuseData(input.after.view, url, host, context.signal);
        context.remember({ own: true });
        await using source = await sourceOf(input);
        const { revision } = await source.data.status({ signal: context.signal });
        await startTarget(input, { sourceRevision: revision, url }, host, context.signal);
      },
      undo: async (_step, context) => {
        // Without a note nothing was begun: what lies there is somebody else's.
        if (context.note === undefined) return;
        await removeTarget(inputOf(context), host, context.signal);
        if (context.secret !== undefined) await forget(context.secret, context.signal);
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
        context.add({ "paused-at": new Date(deps.now()).toISOString() });
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
        const conflicts = await loneProblems({ before, after }, { nodeId, datastore: async () => target.data }, signal);
        if (conflicts.length > 0) throw conflictsError("migrate the datastore", conflicts);
        const { type, "external-servers": servers } = after.config.datastore;
        await createLedger(target.data).setEngine({ type: type as EngineRecord["type"], servers }, signal);
        const { keys, leases, hash, sourceRevision, targetRevision } = report;
        log.info({ keys, leases, hash, sourceRevision, targetRevision }, "The copy is complete and equal");
        context.conclude(`${keys} keys are equal`);
      },
    },

    "stop-engines": {
      run: async (_step, context) => {
        const { before, after } = inputOf(context);
        await endCopy();
        const target = targetOf(inputOf(context)).name;
        const names = [engineOf(before.view).name, engineOf(after.view).name, target];
        await Promise.all([...new Set(names)].map((name) => services.stop(name, context.signal)));
        const { engine } = after.view.datastore;
        if (engine === "sqlite" || engine === "etcd") {
          const data = dataOf(paths, engine);
          await syncDirectory(data);
          await syncDirectory(dirname(data));
        }
        const conflicts = await host.preflight.ports(
          portNeeds(after.view, [engineOf(after.view).name]),
          context.signal,
        );
        if (conflicts.length > 0) throw conflictsError("migrate the datastore", conflicts);
      },
    },

    "try-engine": {
      run: async (_step, context) => {
        const { view } = inputOf(context).after;
        await tryEngine(view, deps.nodeKey.certificate(view.name, new Date(deps.now())), host, context.signal);
      },
      undo: (_step, context) => endTrial(inputOf(context).after.view, host, context.signal),
    },

    "commit-engine": {
      run: async (_step, context) => {
        const { nodeId, clusterId, after } = inputOf(context);
        context.commit(() => deps.identity.commit({ id: nodeId, clusterId, view: after }, deps.now()));
      },
    },

    "keep-access": {
      run: async (_step, { secret }) => sealDatabaseUrl(paths, secret, await deps.seal()),
    },

    "start-engine": {
      run: async (_step, context) => {
        const { view } = inputOf(context).after;
        const engine = engineOf(view);
        await services.apply(engine.render(view).service, context.signal);
        await services.start(engine.name, context.signal);
        await awaitService(engine, view, services, context.signal);
        const pauseMs = deps.now() - Date.parse(String(context.added()["paused-at"]));
        context.add({ "pause-ms": pauseMs });
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
        const input = inputOf(context);
        const { view } = input.before;
        const leftover = [engineOf(view).name, targetOf(input).name];
        const serving = engineOf(input.after.view).name;
        for (const name of leftover) if (name !== serving) await services.remove(name, context.signal);
        await removeData(view, host);
      },
    },
  };
}
