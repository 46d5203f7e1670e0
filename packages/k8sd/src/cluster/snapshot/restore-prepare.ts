import type { RestorePlan } from "@k8sd/api-types";
import type { DatastoreView, MachineView, NodeView } from "../../components/component.ts";
import { wantedComponents } from "../../components/wanted.ts";
import { revisionLeap } from "../../datastore/etcd-restore.ts";
import type { SnapshotContent } from "../../datastore/snapshot/inspect.ts";
import type { Host } from "../../host/host.ts";
import type { Paths } from "../../host/paths.ts";
import { AppError } from "../../lib/app-error.ts";
import type { SuppliedPki } from "../../pki/supplied.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { createView, loopbackOf, newDatastore } from "../bootstrap/prepare.ts";
import { nodeIps, parseAddress } from "../config/address.ts";
import { fromJoin } from "../config/from-bootstrap.ts";
import { type ClusterConfig, clusterConfig, type ResolvedClusterConfig } from "../config/types.ts";
import { validate } from "../config/validate.ts";
import { podCidrsOf } from "../join/members.ts";
import {
  type ClusterRecord,
  clusterKey,
  configKey,
  membersPrefix,
  type RecoveryRecord,
  type StoredMember,
} from "../ledger-records.ts";
import { fateOf } from "../ledger-restore.ts";
import { lowestFree, podSubnetCount } from "../ledger-subnets.ts";
import type { ManagedEngine } from "../migrate/plan.ts";
import { checkNodePki } from "../node-pki.ts";
import { backupDirectory } from "../recover/survey.ts";
import { type ClusterSecrets, decodeClusterSecrets } from "./secrets.ts";

/** A snapshot as a cluster that can be restored. */
export interface SavedCluster {
  readonly content: SnapshotContent;
  readonly cluster: ClusterRecord;
  readonly config: ClusterConfig;
  readonly members: readonly StoredMember[];
  readonly secrets: ClusterSecrets;
}

export function readSavedCluster(content: SnapshotContent): SavedCluster {
  const { values } = content;
  const read = (key: string): unknown => {
    const text = values.get(key);
    if (text !== undefined) return JSON.parse(text);
    throw new AppError("invalid", `cannot restore the snapshot: it has no ${key}`, { remedy: "Use another snapshot." });
  };
  const members = [...values].flatMap(([key, text]) =>
    key.startsWith(membersPrefix) ? [JSON.parse(text) as StoredMember] : [],
  );
  return {
    content,
    cluster: read(clusterKey) as ClusterRecord,
    config: clusterConfig.parse(read(configKey)),
    members,
    secrets: decodeClusterSecrets(content.secrets),
  };
}

/** What the operator is shown before anything is changed. */
export function describeRestore(
  saved: SavedCluster,
  to: {
    readonly mode: RestorePlan["mode"];
    readonly node: { readonly id: string; readonly name: string };
    readonly engine: ManagedEngine;
    readonly epoch: number;
    readonly backup?: string;
    readonly refusal?: NonNullable<RestorePlan["refusal"]>;
  },
): RestorePlan {
  const { header, totals } = saved.content;
  const named = (fate: string): string[] =>
    saved.members.flatMap((member) => (fateOf(member, to.node) === fate ? [member.name] : [])).sort();
  return {
    mode: to.mode,
    node: to.node.name,
    engine: to.engine,
    epoch: to.epoch,
    created: new Date(header.createdAt).toISOString(),
    cluster: header.cluster.id,
    from: { node: header.node, engine: header.engine, revision: header.revision, epoch: header.cluster.epoch },
    keys: totals.keys,
    kept: named("kept"),
    removed: named("removed"),
    ...(to.backup === undefined ? {} : { backup: to.backup }),
    ...(to.refusal === undefined ? {} : { refusal: to.refusal }),
  };
}

/** More writes in a second than any cluster makes, so a clock that counts them is ahead of every revision there ever was. */
const revisionsPerSecond = 1_000_000;

/**
 * Where a restored datastore begins: above all that its clients can have seen. That may come from what the cluster did after the
 * snapshot, or after an earlier restore of the same one, of which a new machine knows nothing but that it is past.
 * @param current of the datastore that is given up; 0: it is not known
 */
export function restoredRevision(saved: number, current: number, nowMs: number): number {
  return Math.max(Math.max(saved, current) + revisionLeap, Math.floor(nowMs / 1000) * revisionsPerSecond);
}

/**
 * The epoch that begins on a machine which does not know what the cluster did after the snapshot: above all that it can have
 * begun since, were it one in each minute. Members that live on follow no earlier one.
 */
export function restoredEpoch(saved: number, createdAt: number, nowMs: number): number {
  return saved + 1 + Math.max(0, Math.floor((nowMs - createdAt) / 60_000));
}

/** Its own part of the pod range, that of the node whose name it takes over, or a free one. */
export function podSubnetIndexOf(saved: SavedCluster, self: { readonly id: string; readonly name: string }): number {
  const used = saved.members.filter((member) => ["kept", "removed"].includes(fateOf(member, self)));
  const own = saved.members.find(({ id }) => id === self.id) ?? saved.members.find(({ name }) => name === self.name);
  const taken = used.flatMap(({ podSubnetIndex }) => (podSubnetIndex === undefined ? [] : [podSubnetIndex]));
  if (own?.podSubnetIndex !== undefined && !taken.includes(own.podSubnetIndex)) return own.podSubnetIndex;
  const free = lowestFree(taken, podSubnetCount(saved.config));
  if (free !== undefined) return free;
  throw new AppError("conflict", "cannot restore the snapshot: no part of its pod range is free for this node", {
    remedy: "Use the name of a control plane that the snapshot has.",
  });
}

export interface NewNode {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  readonly engine: ManagedEngine;
  readonly epoch: number;
  readonly recovery: RecoveryRecord;
  readonly podSubnetIndex: number;
  readonly kubernetes: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

/** A machine that belongs to no cluster, as the control plane that it shall become. */
export function prepareRebuild(
  saved: SavedCluster,
  order: NewNode,
  deps: { readonly host: Host; readonly machine: MachineView },
): { readonly input: BootstrapInput; readonly pki: SuppliedPki } {
  const worker = saved.members.find((member) => member.name === order.name && member.role === "worker");
  if (worker !== undefined && fateOf(worker, { id: order.id, name: "" }) === "kept") {
    throw new AppError("conflict", `cannot restore the snapshot: ${order.name} is the name of one of its workers`, {
      field: "--name",
      remedy: "Give this node another name with --name.",
    });
  }
  const interfaces = deps.host.interfaces();
  const address = parseAddress(order.address, interfaces);
  const addresses = nodeIps(address.ip, interfaces);
  const config: ClusterConfig = { ...saved.config, datastore: { ...saved.config.datastore, type: order.engine } };
  validate(config, { nodeIps: addresses });
  const pki = managedPki(saved.secrets.pki);
  // The cluster resolved it before it stored it.
  const parts = {
    name: order.name,
    addresses,
    k8sdAddress: address.text,
    config: config as ResolvedClusterConfig,
    node: fromJoin({}),
  };
  const view = createView(
    {
      ...parts,
      role: "control-plane",
      datastore: settled(newDatastore(parts, loopbackOf(deps.host))),
      nodePodCidrs: podCidrsOf(config, order),
      signing: { ca: Boolean(pki["ca-key"]), clientCa: Boolean(pki["client-ca-key"]) },
    },
    deps,
  );
  const input: BootstrapInput = {
    nodeId: order.id,
    clusterId: saved.cluster.id,
    epoch: order.epoch,
    recovery: order.recovery,
    view,
    config,
    extraSans: [],
    kubernetes: order.kubernetes,
    systemTuning: true,
  };
  checkNodePki(input, pki, new Date(order.now));
  for (const component of wantedComponents(view)) component.render(view);
  return { input, pki };
}

/** Should its data be lost, it must not found a cluster of its own. */
function settled(datastore: DatastoreView): DatastoreView {
  if (datastore.engine !== "etcd") return datastore;
  return { ...datastore, initialCluster: { ...datastore.initialCluster, state: "existing" } };
}

/** Without what led to somebody else's datastore. */
function managedPki(pki: SuppliedPki): SuppliedPki {
  return Object.fromEntries(Object.entries(pki).filter(([key]) => !key.startsWith("datastore-")));
}

/**
 * Names are not enough: the same cluster has the same authorities. That of its own engines it has only since it had one, which
 * may be after the snapshot.
 */
export function sameCluster(
  saved: Pick<SavedCluster, "cluster" | "secrets">,
  own: Pick<ClusterSecrets, "pki"> & { readonly clusterId: string },
): boolean {
  const all = [saved.secrets.pki, own.pki].map(managedPki);
  const ofEngines = all.every((pki) => pki["etcd-ca-crt"]);
  const [theirs, ours] = all.map((pki) =>
    JSON.stringify(
      Object.entries(pki)
        .filter(([key]) => key.endsWith("ca-crt") || key === "service-account-key")
        .filter(([key]) => ofEngines || key !== "etcd-ca-crt")
        .sort(),
    ),
  );
  return saved.cluster.id === own.clusterId && theirs === ours;
}

/** Where the data is kept that a restore replaces. */
export function restoreBackup(paths: Pick<Paths, "etcd" | "datastore">, view: NodeView, epoch: number): string {
  return view.datastore.engine === "etcd"
    ? backupDirectory(paths.etcd, epoch, view.name)
    : `${paths.datastore}.before-epoch-${epoch}`;
}
