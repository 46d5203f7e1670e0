import { randomUUID } from "node:crypto";
import { isAbsolute } from "node:path";
import type { RestorePlan, RestoreResponse } from "@k8sd/api-types";
import type { MachineView } from "../../components/component.ts";
import { inspectSnapshot } from "../../datastore/snapshot/inspect.ts";
import { keysFor } from "../../datastore/snapshot/key.ts";
import { revisionSeen } from "../../datastore/told.ts";
import type { Host } from "../../host/host.ts";
import { conflictsError } from "../../host/preflight.ts";
import { AppError } from "../../lib/app-error.ts";
import { sizeIfThere } from "../../lib/read-file.ts";
import { withDeadline } from "../../lib/wait.ts";
import type { IdentityStore } from "../../node-db/identity.ts";
import { type DeferredRun, deferredRun } from "../../operations/deferred.ts";
import type { OperationRun, Runner } from "../../operations/runner.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import type { Connections } from "../connections.ts";
import { etcdView, ownPeerUrl } from "../join/datastore-view.ts";
import type { RecoveryRecord, StoredMember } from "../ledger-records.ts";
import type { ManagedEngine } from "../migrate/plan.ts";
import type { NodeKey } from "../node-key.ts";
import type { Copies, Self } from "../recover/copies.ts";
import type { Answer } from "../recover/survey.ts";
import type { Seal } from "../seal.ts";
import type { RebuildSecret, RestoreSecret } from "./restore-executors.ts";
import { planRebuild, planRestore } from "./restore-plan.ts";
import {
  describeRestore,
  podSubnetIndexOf,
  prepareRebuild,
  readSavedCluster,
  restoreBackup,
  restoredEpoch,
  restoredRevision,
  type SavedCluster,
  sameCluster,
} from "./restore-prepare.ts";
import { secretsToSave } from "./secrets.ts";

export interface RestoreDeps {
  readonly host: Host;
  readonly machine: MachineView;
  readonly kubernetes: boolean;
  readonly identity: Pick<IdentityStore<BootstrapInput>, "read">;
  readonly nodeKey: Pick<NodeKey, "id">;
  readonly seal: () => Promise<Seal>;
  readonly connections: () => Connections;
  readonly copies: Pick<Copies, "others">;
  readonly runner: Pick<Runner, "find" | "start" | "giveUp">;
  readonly now: () => number;
}

export interface RestoreOrder {
  readonly path: string;
  /** The content of the operator's key file. */
  readonly key: string;
  /** For a machine that belongs to no cluster; "" = as the snapshot has it. */
  readonly engine: ManagedEngine | "";
  readonly name: string;
  readonly address: string;
  /** Also where another control plane answers. */
  readonly force: boolean;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

/** All that was found out before anything is changed. */
interface Look {
  readonly saved: SavedCluster;
  readonly plan: RestorePlan;
  begin(order: RestoreOrder, requestId: string, timeoutMs: number): OperationRun;
}

/** Gigabytes are read and written within minutes. */
const restoreCeilingMs = 3_600_000;
/** The datastore that is given up may be broken, which is why it is given up. */
const revisionMs = 5_000;
/** What a compressed snapshot takes when it is loaded, with a log; etcd makes its file in steps of 64 MiB. */
const growth = 12;
const spareBytes = 512 * 1024 * 1024;

/** Brings a cluster back from a snapshot: on a control plane of it, or on a machine that belongs to no cluster. */
export function createRestore(deps: RestoreDeps) {
  const { host, runner } = deps;

  async function read({ path, key }: RestoreOrder, signal: AbortSignal): Promise<SavedCluster> {
    if (!isAbsolute(path)) {
      throw new AppError("invalid", `cannot restore ${JSON.stringify(path)}: it is no absolute path`);
    }
    const size = await sizeIfThere(path);
    if (size === undefined) {
      throw new AppError("not-found", `cannot restore ${path}: there is no such file on this node`);
    }
    const unlock = (header: Parameters<typeof keysOf>[0]) => keysOf(header, key);
    const saved = readSavedCluster(await inspectSnapshot(path, unlock, { prefix: "k8sd/", signal }));
    const freeDisk = [{ path: host.paths.snapCommon, bytes: growth * size + spareBytes }];
    const conflicts = await host.preflight.system({ freeDisk }, signal);
    if (conflicts.length > 0) throw conflictsError("restore a snapshot", conflicts);
    return saved;
  }

  const revisionOf = (saved: SavedCluster, current: number): number =>
    restoredRevision(saved.content.header.revision, current, deps.now());

  /** Of two restores with one epoch the later one counts. */
  const recoveryBy = (name: string, revision: number): RecoveryRecord => ({
    id: randomUUID(),
    by: name,
    term: 0,
    index: revision,
    at: deps.now(),
  });

  async function lookAtMember(self: Self, order: RestoreOrder, signal: AbortSignal): Promise<Look> {
    const { id, clusterId, view: before } = self;
    const { view } = before;
    const { engine } = view.datastore;
    if (view.role === "worker" || engine === "external" || engine === "postgres") {
      throw new AppError("conflict", "cannot restore a snapshot: this node keeps no data of the cluster", {
        remedy: "Restore it on a control plane, or restore the external datastore by its own means.",
      });
    }
    const saved = await read(order, signal);
    const own = await secretsToSave(host.paths, await deps.seal());
    const known = saved.members.find((member) => member.id === id && member.state === "active");
    if (!sameCluster(saved, { ...own, clusterId }) || known?.podSubnetIndex === undefined) {
      throw new AppError(
        "conflict",
        `cannot restore the snapshot: ${view.name} is not the node that the snapshot knows, or is in another cluster`,
        { remedy: "Make this a machine without a cluster with 'k8s leave --force', and restore the snapshot then." },
      );
    }
    const others = await deps.copies.others(self, signal);
    const epoch = Math.max(saved.cluster.epoch, before.epoch ?? 1, ...others.map(epochOf)) + 1;
    const backup = restoreBackup(host.paths, view, epoch);
    const node = { id, name: view.name };
    const refusal = refusalOf(others);
    const mode = "in-place";
    const plan = describeRestore(saved, { mode, node, engine, epoch, backup, ...(refusal && { refusal }) });
    const revision = revisionOf(saved, await currentRevision(signal));
    const member: StoredMember = known;
    return {
      saved,
      plan,
      begin: (_order, requestId, timeoutMs) => {
        const recovery = recoveryBy(view.name, revision);
        const podSubnetIndex = member.podSubnetIndex ?? 0;
        const facts = { path: order.path, epoch, recovery, podSubnetIndex, revision };
        const after: BootstrapInput = { ...alone(before), epoch, recovery };
        const result: RestoreResponse = { node: view.name, epoch, backup };
        const input = { nodeId: id, clusterId, before, after, facts, backup };
        const secret: RestoreSecret = { key: order.key, sealKey: saved.secrets.sealKey };
        const plan = planRestore(input, { ...result }, requestId);
        return runner.start(plan, { secret: JSON.stringify(secret), timeoutMs });
      },
    };
  }

  /** 0: it does not answer. */
  async function currentRevision(signal: AbortSignal): Promise<number> {
    try {
      const datastore = await deps.connections().datastore();
      return await revisionSeen(datastore, withDeadline(signal, revisionMs));
    } catch {
      signal.throwIfAborted();
      return 0;
    }
  }

  async function lookAtMachine(order: RestoreOrder, signal: AbortSignal): Promise<Look> {
    const saved = await read(order, signal);
    const id = deps.nodeKey.id;
    const node = { id, name: order.name };
    const wanted = order.engine || saved.content.header.engine;
    const engine = wanted === "external" ? "sqlite" : wanted;
    const epoch = restoredEpoch(saved.cluster.epoch, saved.content.header.createdAt, deps.now());
    const revision = revisionOf(saved, 0);
    const recovery = recoveryBy(order.name, revision);
    const podSubnetIndex = podSubnetIndexOf(saved, node);
    const { kubernetes } = deps;
    const { address, name } = order;
    const now = deps.now();
    const { input, pki } = prepareRebuild(
      saved,
      { id, name, address, engine, epoch, recovery, podSubnetIndex, kubernetes, now },
      deps,
    );
    return {
      saved,
      plan: describeRestore(saved, { mode: "new", node, engine, epoch }),
      begin: (_order, requestId, timeoutMs) => {
        const facts = { path: order.path, epoch, recovery, podSubnetIndex, revision };
        const secret: RebuildSecret = { key: order.key, pki, sealKey: saved.secrets.sealKey };
        const result: RestoreResponse = { node: name, epoch };
        const plan = planRebuild(input, facts, { ...result }, requestId);
        return runner.start(plan, { secret: JSON.stringify(secret), timeoutMs });
      },
    };
  }

  function look(order: RestoreOrder, signal: AbortSignal): Promise<Look> {
    const self = deps.identity.read();
    return self === undefined ? lookAtMachine(order, signal) : lookAtMember(self, order, signal);
  }

  async function begin(order: RestoreOrder, requestId: string): Promise<OperationRun> {
    const timeoutMs = Math.min(order.timeoutMs === 0 ? restoreCeilingMs : order.timeoutMs, restoreCeilingMs);
    const found = await look(order, AbortSignal.timeout(timeoutMs));
    const { refusal } = found.plan;
    if (refusal !== undefined && !order.force) {
      throw new AppError("conflict", refusal.message, { remedy: refusal.remedy });
    }
    // It may wait for the very data that is given up here.
    await runner.giveUp(["remove"], new AppError("cancelled", "cannot finish remove: a restore came before it"));
    return found.begin(order, requestId, timeoutMs);
  }

  return {
    planRestore: async (order: RestoreOrder, signal: AbortSignal): Promise<RestorePlan> =>
      (await look(order, signal)).plan,

    restore(order: RestoreOrder, { requestId }: { readonly requestId: string }): DeferredRun<RestoreResponse> {
      const known = runner.find(requestId);
      return deferredRun(requestId, known === undefined ? begin(order, requestId) : Promise.resolve(known));
    },
  };
}

const keysOf = (header: { readonly key: Parameters<typeof keysFor>[0] }, key: string) => keysFor(header.key, key);

const epochOf = ({ copy }: Answer): number => copy?.cluster.epoch ?? 0;

/** Their data is that of the cluster, and goes on without this node's. */
function refusalOf(others: readonly Answer[]): RestorePlan["refusal"] {
  const alive = others.flatMap(({ name, copy }) => (copy === undefined ? [] : [name]));
  if (alive.length === 0) return undefined;
  return {
    message: `cannot restore the snapshot: ${alive.join(", ")} answer, and hold the cluster's data as well`,
    remedy: "Take them out with 'k8s remove-node', or stop k8sd and etcd there, and restore then.",
    forceable: true,
  };
}

/** Its etcd knows of no other one. */
function alone(before: BootstrapInput): BootstrapInput {
  const { view } = before;
  if (view.datastore.engine !== "etcd") return before;
  const datastore = etcdView(view);
  const initialCluster = { state: "existing", peers: { [view.name]: ownPeerUrl(view, datastore) } } as const;
  return { ...before, view: { ...view, datastore: { ...datastore, initialCluster } } };
}
