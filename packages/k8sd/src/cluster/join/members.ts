import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import type {
  AdvanceRequest,
  ListMembersResponse,
  Member,
  PrepareRequest,
  PrepareResponse,
  ReserveRequest,
  ReserveResponse,
  StandingResponse,
} from "@k8sd/api-types";
import { hostPort, splitHostPort } from "../../components/address.ts";
import type { Paths } from "../../host/paths.ts";
import type { KubeClient } from "../../kube/kube-client.ts";
import { nodes } from "../../kube/resources.ts";
import { AppError, errorText } from "../../lib/app-error.ts";
import type { Audit } from "../../node-db/audit.ts";
import { presentOf, readClusterSecrets } from "../cluster-secrets.ts";
import { parseCidrs } from "../config/cidr.ts";
import { defaultPorts } from "../config/defaults.ts";
import { nodeSubnet } from "../config/subnets.ts";
import type { ClusterConfig } from "../config/types.ts";
import type { Connections } from "../connections.ts";
import { createLedger, type Ledger } from "../ledger.ts";
import type { Claim } from "../ledger-admission.ts";
import type { ClusterRecord, MemberRecord } from "../ledger-records.ts";
import { refuseTakenPeer } from "../mesh/peers.ts";
import type { Migration } from "../migrate/migrate.ts";
import { nodeIdOf } from "../node-key.ts";
import type { Seal } from "../seal.ts";
import type { TokenService } from "../tokens-service.ts";
import { refuseOddName, refuseServed, refuseTakenAddress, servedNames } from "./claim-check.ts";
import { refuseVersions } from "./version-check.ts";
import { workerPki } from "./worker-pki.ts";

export interface MembersDeps {
  readonly paths: Paths;
  readonly connections: () => Connections;
  readonly tokens: Pick<TokenService, "admission" | "check">;
  readonly seal: () => Promise<Seal>;
  /** Undefined where this cluster runs without Kubernetes. */
  readonly kube: () => Promise<KubeClient> | undefined;
  readonly audit: Pick<Audit, "record">;
  readonly migration: Pick<Migration, "makeRoom" | "underWay">;
  readonly now: () => number;
}

export interface Caller {
  readonly source: string;
  readonly key?: string;
}

const releaseMs = 10_000;

/** The cluster's side of a join: who comes in is recorded here, and gets what a member needs. */
export function createMembers(deps: MembersDeps) {
  const { tokens, now } = deps;
  const ledgerOf = async (): Promise<Ledger> => createLedger(await deps.connections().datastore());

  async function list(signal: AbortSignal): Promise<ListMembersResponse> {
    const ledger = await ledgerOf();
    const [config, members] = await Promise.all([ledger.config(signal), ledger.members(signal)]);
    return listed(config, members);
  }

  /** Says no before anything is recorded, so the token stays good for when the reason is gone. */
  function refuseEngine(claim: Claim, config: ClusterConfig): void {
    if (claim.role === "worker") return;
    const text = `cannot join as ${claim.name}: the cluster`;
    const remedy = "Try again when 'k8s datastore status' shows etcd.";
    if (deps.migration.underWay() !== undefined) {
      throw new AppError("unavailable", `${text} is moving its data to another engine`, { remedy });
    }
    if (!onSqlite(config)) return;
    throw new AppError("conflict", `${text} keeps its data in sqlite, which is for one control plane`, { remedy });
  }

  /** What nobody may say of itself, also when it says so again. */
  async function refuseClaim(claim: Claim, members: readonly MemberRecord[]): Promise<void> {
    refuseTakenPeer({ id: claim.nodeId, meshPeer: claim.meshPeer }, members);
    refuseTakenAddress(claim, members);
    refuseServed(claim, await servedNames(deps.paths), members);
  }

  /** A second control plane needs another engine than the first alone. */
  async function prepare(request: PrepareRequest, caller: Caller, signal: AbortSignal): Promise<PrepareResponse> {
    const claim = claimOf(request, caller);
    const ledger = await ledgerOf();
    const config = await ledger.config(signal);
    const known = await tokens.check(claim.secret, claim, signal);
    // Whoever may not come in is told why when it asks for its place.
    if (known === undefined || config === undefined || claim.role === "worker") return { ready: true, events: [] };
    const underWay = deps.migration.underWay();
    if (underWay !== undefined) return { ready: false, events: [...underWay] };
    refuseTakenAddress(claim, await ledger.members(signal));
    await refuseVersions(claim, config, { ledger, kube: deps.kube }, signal);
    return deps.migration.makeRoom({ attempt: request.attempt, needed: onSqlite(config) });
  }

  async function reserve(request: ReserveRequest, caller: Caller, signal: AbortSignal): Promise<ReserveResponse> {
    const claim = claimOf(request, caller);
    const ledger = await ledgerOf();
    const [cluster, config] = await Promise.all([ledger.cluster(signal), ledger.config(signal)]);
    if (cluster === undefined || config === undefined) {
      throw new AppError("unavailable", "cannot take in a node: the cluster is not recorded yet");
    }
    // The secret first: a stranger is told nothing of the cluster.
    const known = await tokens.check(claim.secret, claim, signal);
    try {
      await refuseClaim(claim, await ledger.members(signal));
      // One that is in, or half in, asks with a token that is used up, or over by now.
      if (known !== undefined) {
        refuseEngine(claim, config);
        await refuseVersions(claim, config, { ledger, kube: deps.kube }, signal);
      }
    } catch (error) {
      const details = { name: claim.name, source: claim.source };
      const outcome = errorText(error);
      deps.audit.record({ actor: `node ${claim.nodeId}`, action: "join-token.reserve", outcome, details });
      throw error;
    }
    const { member, heldUntil } = await tokens.admission.reserve(claim, signal);
    try {
      return await answerFor(claim, member, request.requests, { cluster, config }, signal);
    } catch (error) {
      // It gets no answer to go on with, so nothing is held for it.
      if (heldUntil !== undefined && member.state === "reserved") {
        // Also when it is the caller that has gone.
        await tokens.admission.release(member.id, AbortSignal.timeout(releaseMs));
      }
      throw error;
    }
  }

  async function answerFor(
    claim: Claim,
    member: MemberRecord,
    requests: ReserveRequest["requests"],
    { cluster, config }: { readonly cluster: ClusterRecord; readonly config: ClusterConfig },
    signal: AbortSignal,
  ): Promise<ReserveResponse> {
    const ledger = await ledgerOf();
    const all = await readClusterSecrets(deps.paths, await deps.seal());
    const isWorker = claim.role === "worker";
    return {
      id: member.id,
      cluster: {
        id: cluster.id,
        epoch: cluster.epoch,
        ...(cluster.recovery === undefined ? {} : { recovery: cluster.recovery }),
      },
      incarnation: member.incarnation,
      config,
      "pod-cidrs": [...podCidrsOf(config, member)],
      ...listed(config, await ledger.members(signal)),
      pki: presentOf(isWorker ? workerPki(all, claim, requests, config, now()) : all),
      ...(isWorker ? {} : { "seal-key": (await readFile(deps.paths.sealKey)).toString("base64") }),
      now: now(),
    };
  }

  /** A node that gives up after it became a member: it has taken back what it did, the rest is here. */
  async function giveUp(ledger: Ledger, member: MemberRecord, signal: AbortSignal): Promise<void> {
    await ledger.leave(member.id, now(), signal);
    const kube = await deps.kube();
    await kube?.delete(nodes, { name: member.name }, { signal });
    await ledger.remove(member.id, now(), signal);
  }

  async function advance(
    { action, force = false }: AdvanceRequest,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<void> {
    const key = keyOf(caller);
    const id = nodeIdOf(key);
    const ledger = await ledgerOf();
    const member = await ledger.member(id, signal);
    if (member === undefined || member.publicKeyFingerprint !== key) {
      // Nothing is held for it any more, which is what it asks for.
      if ((action === "release" || action === "leave") && member === undefined) return;
      throw new AppError("forbidden", "cannot go on with the join: no place is held for the node with this key", {
        remedy: "Start again with 'k8s join-cluster'.",
      });
    }
    switch (action) {
      case "begin":
      case "renew":
      case "commit":
        await tokens.admission[action](id, signal);
        return;
      case "leave":
        // It wants to go now: whoever sees the record first takes it out.
        await ledger.leave(id, now(), signal, { force: force && member.role === "worker", until: now() });
        return;
      case "release":
        if (member.state === "active" || member.state === "leaving") return giveUp(ledger, member, signal);
        // Its kubelet may have registered it.
        if (member.state === "joining") await (await deps.kube())?.delete(nodes, { name: member.name }, { signal });
        return tokens.admission.release(id, signal);
    }
  }

  async function standing(caller: Caller, signal: AbortSignal): Promise<StandingResponse> {
    const key = keyOf(caller);
    const ledger = await ledgerOf();
    // One after the other: a recovery between the two must not make an old state one of the new epoch.
    const cluster = await ledger.cluster(signal);
    const member = await ledger.member(nodeIdOf(key), signal);
    if (cluster === undefined) {
      throw new AppError("unavailable", "cannot tell which node calls: the cluster is not recorded yet");
    }
    const { epoch, recovery } = cluster;
    const copy = { epoch, ...(recovery === undefined ? {} : { recovery: recovery.id }) };
    if (member?.publicKeyFingerprint !== key) return { state: "unknown", incarnation: 0, ...copy };
    return { state: member.state, incarnation: member.incarnation, ...copy };
  }

  return { list, prepare, reserve, advance, standing };
}

const onSqlite = (config: ClusterConfig): boolean => (config.datastore.type ?? "sqlite") === "sqlite";

function keyOf({ key }: Caller): string {
  if (key !== undefined) return key;
  throw new AppError("unauthorized", "cannot tell which node calls: it shows no certificate");
}

function claimOf(request: ReserveRequest, caller: Caller): Claim {
  const publicKeyFingerprint = keyOf(caller);
  const { secret, name, role, addresses, versions, "k8sd-address": k8sdAddress, "mesh-peer": meshPeer } = request;
  const target = splitHostPort(k8sdAddress);
  const valid = target !== undefined && [...addresses, target.host].every((address) => isIP(address) !== 0);
  if (!valid) throw new AppError("invalid", "cannot take in a node: its addresses are no IP addresses");
  refuseOddName({ name });
  const nodeId = nodeIdOf(publicKeyFingerprint);
  return {
    ...{ secret, nodeId, name, role, publicKeyFingerprint, addresses, k8sdAddress, versions, source: caller.source },
    ...(meshPeer === undefined ? {} : { meshPeer }),
  };
}

function listed(config: ClusterConfig | undefined, members: readonly MemberRecord[]): ListMembersResponse {
  const present = members.filter(({ state }) => state !== "removed");
  return {
    ...(config === undefined ? {} : { "datastore-type": config.datastore.type ?? "sqlite" }),
    members: present.map(
      (member): Member => ({
        id: member.id,
        name: member.name,
        addresses: [...member.addresses],
        "k8sd-address": member.k8sdAddress,
        role: member.role,
        state: member.state,
        "pod-cidrs": config === undefined ? [] : [...podCidrsOf(config, member)],
        key: member.publicKeyFingerprint,
        ...(member.meshPeer === undefined ? {} : { "mesh-peer": member.meshPeer }),
        "changed-at": member.changedAt,
      }),
    ),
    "api-servers": [...apiServersOf(config, present)],
  };
}

/** Where the API servers of the cluster listen. */
export function apiServersOf(
  config: ClusterConfig | undefined,
  members: readonly Pick<MemberRecord, "role" | "state" | "addresses">[],
): readonly string[] {
  const port = config?.apiserver.port ?? defaultPorts.apiserver;
  return members
    .filter(({ role, state }) => role === "control-plane" && state === "active")
    .flatMap(({ addresses: [address] }) => (address === undefined ? [] : [hostPort(address, port)]));
}

export function podCidrsOf(
  config: ClusterConfig,
  { podSubnetIndex }: Pick<MemberRecord, "podSubnetIndex">,
): readonly string[] {
  if (podSubnetIndex === undefined || config.network.enabled === false) return [];
  return parseCidrs(config.network["pod-cidr"] ?? "").map(({ text }) => nodeSubnet(text, podSubnetIndex));
}
