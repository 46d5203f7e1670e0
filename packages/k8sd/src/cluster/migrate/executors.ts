import { dirname } from "node:path";
import type { Logger } from "pino";
import type { NodeView } from "../../components/component.ts";
import { kubeApiserver } from "../../components/kube-apiserver.ts";
import { portNeeds } from "../../components/ports.ts";
import { type Copy, startCopy } from "../../datastore/migrate/copy.ts";
import { startSharedCopy } from "../../datastore/migrate/shared-copy.ts";
import { openStore, type StoreAccess } from "../../datastore/migrate/store-access.ts";
import { revisionSeen } from "../../datastore/told.ts";
import type { Host } from "../../host/host.ts";
import { conflictsError } from "../../host/preflight.ts";
import type { ServiceSpec } from "../../host/services.ts";
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
import { dropEtcdAccess, keepEtcdAccess, makeEngineCertificates, takeBackAuthority } from "./etcd-access.ts";
import { claimantOf, claimTarget, clearTarget, releaseTarget, targetStore } from "./external-target.ts";
import { type MigrateInput, type MigrateStep, movesIn, movesOut } from "./plan.ts";
import { loneProblems } from "./preconditions.ts";
import { clearDatabase, refuseData, removeData, removeTarget, startTarget } from "./target.ts";
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

const inputOf = (context: StepContext): MigrateInput => context.input as MigrateInput;

/** With watches open it takes all the time that it gets to stop, and whoever waits for its answer asks again either way. */
const hurriedApiServer = (view: NodeView): ServiceSpec => ({
  ...kubeApiserver.render(view).service,
  stopTimeoutSeconds: 1,
});

export function createMigrateExecutors(deps: MigrateDeps): Executors<MigrateStep> {
  const { host, log } = deps;
  const { services, paths } = host;
  let underWay: UnderWay | undefined;

  const access = { ...deps, paths };
  const sourceOf = async ({ before }: MigrateInput) => openStore(await datastoreOptions(before.view));

  async function endCopy(): Promise<void> {
    const ended = underWay;
    underWay = undefined;
    await ended?.[Symbol.asyncDispose]();
  }

  /** It cannot be told of another address while it runs, and where nobody can stop the datastore it is what writes. */
  const restartsApiServer = (input: MigrateInput): boolean =>
    input.before.kubernetes && (movesOut(input) || movesIn(input));

  function tellPause(context: StepContext): void {
    const pauseMs = deps.now() - Date.parse(String(context.added()["paused-at"]));
    context.add({ "pause-ms": pauseMs });
    log.info({ pauseMs }, "The datastore takes writes again");
    context.conclude(`writes were paused for ${pauseMs} ms`);
  }

  function current(): UnderWay {
    if (underWay !== undefined) return underWay;
    throw new Error("the copy of the datastore is not under way");
  }

  return {
    "set-up-target": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const { signal } = context;
        if (movesOut(input)) {
          context.remember({ own: true });
          await claimTarget(input, context.secret, signal);
          return;
        }
        const url = context.secret;
        await refuseData(input.after.view, url, host, signal);
        context.remember({ own: true });
        if (movesIn(input)) await makeEngineCertificates(input.after, access);
        await using source = await sourceOf(input);
        const sourceRevision = await revisionSeen(source.data, signal);
        await startTarget(input, { sourceRevision, url }, host, signal);
      },
      undo: async (_step, context) => {
        // Without a note nothing was begun: what lies there is somebody else's.
        if (context.note === undefined) return;
        const input = inputOf(context);
        if (movesOut(input)) return clearTarget(input, context.secret, context.signal, log);
        await removeTarget(input, host, context.signal);
        if (movesIn(input)) await takeBackAuthority(access);
        if (context.secret !== undefined) await clearDatabase(context.secret, context.signal, log);
      },
    },

    "copy-data": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const stack = new AsyncDisposableStack();
        try {
          const source = stack.use(await sourceOf(input));
          const target = stack.use(await targetStore(input, context.secret));
          const progress = (done: number, of: number, note = "keys"): void => context.progress({ done, of, note });
          // It goes on over the next steps, which end it.
          const signal = context.signal;
          const common = { source, target, signal, progress };
          const theirs = movesOut(input) ? "target" : movesIn(input) ? "source" : undefined;
          const copy = stack.use(
            theirs === undefined
              ? await startCopy(common)
              : await startSharedCopy({ ...common, shared: theirs, claimant: claimantOf(input) }),
          );
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
        const input = inputOf(context);
        const { before, ports } = input;
        if (restartsApiServer(input)) await services.apply(hurriedApiServer(before.view), context.signal);
        await deps.member.rest();
        context.add({ "paused-at": new Date(deps.now()).toISOString() });
        if (restartsApiServer(input)) await services.stop(kubeApiserver.name, context.signal);
        if (movesIn(input)) return;
        const engine = secludedEngineOf(before.view);
        const view = onPort(before.view, ports.source);
        await services.apply(engine.render(view).service, context.signal);
        await services.restart(engine.name, context.signal);
        await awaitService(engine, view, services, context.signal);
      },
      undo: async (_step, context) => {
        const input = inputOf(context);
        const { view } = input.before;
        await endCopy();
        if (!movesIn(input)) {
          const engine = engineOf(view);
          await services.apply(engine.render(view).service, context.signal);
          await services.start(engine.name, context.signal);
          await services.restart(engine.name, context.signal);
          await awaitService(engine, view, services, context.signal);
        }
        if (restartsApiServer(input)) {
          await services.apply(kubeApiserver.render(view).service, context.signal);
          await services.start(kubeApiserver.name, context.signal);
        }
        deps.joined();
      },
    },

    "finish-copy": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const { nodeId, before, after, ports } = input;
        const { signal } = context;
        const { copy, target } = current();
        await using source = movesIn(input)
          ? await sourceOf(input)
          : openStore(await datastoreOptions(onPort(before.view, ports.source)));
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
        if (movesOut({ after })) return services.stop(engineOf(before.view).name, context.signal);
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
      run: async (_step, context) => {
        const input = inputOf(context);
        if (movesOut(input)) return keepEtcdAccess(context.secret, access);
        if (movesIn(input)) await dropEtcdAccess(access);
        await sealDatabaseUrl(paths, context.secret, await deps.seal());
      },
    },

    "start-engine": {
      run: async (_step, context) => {
        const { view } = inputOf(context).after;
        const engine = engineOf(view);
        await services.apply(engine.render(view).service, context.signal);
        await services.start(engine.name, context.signal);
        await awaitService(engine, view, services, context.signal);
        if (!movesIn(inputOf(context))) tellPause(context);
      },
    },

    "switch-clients": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const { view } = input.after;
        if (movesOut(input)) await releaseTarget(input, context.secret, context.signal);
        if (restartsApiServer(input)) {
          await services.apply(kubeApiserver.render(view).service, context.signal);
          await services.start(kubeApiserver.name, context.signal);
          await awaitService(kubeApiserver, view, services, context.signal);
        }
        tellPause(context);
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
        const serving = movesOut(input) ? undefined : engineOf(input.after.view).name;
        for (const name of leftover) if (name !== serving) await services.remove(name, context.signal);
        await removeData(view, host);
      },
    },
  };
}
