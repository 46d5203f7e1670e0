import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import type { ClusterEpoch, DatastoreCopy, EndpointName, ResponseOf } from "@k8sd/api-types";
import { hostPort, splitHostPort } from "../../components/address.ts";
import type { NodeView } from "../../components/component.ts";
import { datastoreKind } from "../../components/datastore-kind.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import { readEtcdLog } from "../../datastore/etcd-log.ts";
import type { Paths } from "../../host/paths.ts";
import { errorText } from "../../lib/app-error.ts";
import { withDeadline } from "../../lib/wait.ts";
import type { IdentityStore, NodeIdentity } from "../../node-db/identity.ts";
import { fingerprint } from "../../pki/expiry.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { type ClusterLink, createClusterLink } from "../join/link.ts";
import { clusterKey } from "../ledger-records.ts";
import type { NodeKey } from "../node-key.ts";
import type { Roster } from "../roster.ts";
import type { Answer } from "./survey.ts";

export type Self = NodeIdentity<BootstrapInput>;

export interface CopiesDeps {
  readonly paths: Paths;
  readonly identity: Pick<IdentityStore<BootstrapInput>, "read">;
  readonly nodeKey: NodeKey;
  readonly roster: Pick<Roster, "members">;
  /** A connection to the datastore of this very node; the caller closes it. */
  readonly connect: (view: NodeView) => Promise<Datastore>;
  /** True while a rejoin is under way here. */
  readonly rejoining: () => boolean;
  readonly now: () => number;
}

/** A majority that is there answers within milliseconds; an election takes a second or two. */
const quorumMs = 2_500;
/** Others look for their own quorum before they answer. */
const answerMs = 8_000;

/** Copies of the cluster's data: this node's own, and those of the other control planes as they tell. */
export interface Copies {
  epoch(self: Self): ClusterEpoch;
  /** In which epochs the other control planes are that answer. */
  epochs(self: Self, signal: AbortSignal): Promise<readonly ClusterEpoch[]>;
  /** To the control plane at this address, and no other one. */
  link(address: string, patienceMs?: number): Promise<ClusterLink>;
  own(self: Self, signal: AbortSignal): Promise<DatastoreCopy>;
  others(self: Self, signal: AbortSignal): Promise<readonly Answer[]>;
  /**
   * Addresses of control planes whose etcd holds the same data as this node's. After a recovery, also one that this node does
   * not follow, only of those that said so: one that comes back still has its old data.
   */
  peers(): readonly string[];
}

export function createCopies(deps: CopiesDeps): Copies {
  /** By id of the node: whether its data was of the same epoch when it last answered. */
  const same = new Map<string, boolean>();

  async function hasQuorum(view: NodeView, signal: AbortSignal): Promise<boolean> {
    try {
      await using datastore = await deps.connect(view);
      await datastore.range({ key: clusterKey }, { signal, timeoutMs: quorumMs });
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  /** Name and `ip:port` of every control plane that is known; of those that only an address is known of, that. */
  function known(self: Self): readonly { readonly name: string; readonly address: string }[] {
    const members = deps.roster
      .members()
      .filter(({ id, role, state }) => id !== self.id && role === "control-plane" && state === "active");
    if (members.length > 0) return members.map(({ name, k8sdAddress }) => ({ name, address: k8sdAddress }));
    const { view, via } = self.view;
    const addresses = new Map((via?.addresses ?? []).map((address) => [address, address]));
    for (const [name, address] of peersOf(view)) addresses.set(address, name);
    addresses.delete(view.k8sdAddress);
    return [...addresses].map(([address, name]) => ({ name, address }));
  }

  async function link(address: string, patienceMs = 0): Promise<ClusterLink> {
    const name = deps.identity.read()?.view.view.name ?? "";
    const pinned = fingerprint(await readFile(deps.paths.clusterCert, "utf8"));
    const identity = deps.nodeKey.certificate(name, new Date(deps.now()));
    return createClusterLink({ addresses: [address], fingerprint: pinned, identity, patienceMs });
  }

  /** Asks all of them at once; who does not answer gives the reason. */
  async function askAll<N extends EndpointName>(
    self: Self,
    question: N,
    signal: AbortSignal,
  ): Promise<readonly Told<ResponseOf<N>>[]> {
    return Promise.all(
      known(self).map(async ({ name, address }): Promise<Told<ResponseOf<N>>> => {
        try {
          const answer = await (await link(address)).ask(question, undefined, withDeadline(signal, answerMs));
          return { name, address, answer };
        } catch (error) {
          signal.throwIfAborted();
          return { name, address, problem: errorText(error) };
        }
      }),
    );
  }

  function epoch({ id, clusterId, view: { view, epoch: own = 1, recovery } }: Self): ClusterEpoch {
    return {
      id,
      name: view.name,
      cluster: { id: clusterId, epoch: own, ...(recovery === undefined ? {} : { recovery }) },
      rejoining: deps.rejoining(),
    };
  }

  return {
    epoch,

    epochs: async (self, signal) => {
      const told = await askAll(self, "clusterEpoch", signal);
      const answers = told.flatMap(({ answer }) => (answer === undefined || answer.id === self.id ? [] : [answer]));
      for (const answer of answers) same.set(answer.id, isSame(answer, self) && !answer.rejoining);
      return answers;
    },

    link,

    own: async (self, signal) => {
      const { view } = self.view;
      const [log, quorum] = await Promise.all([
        view.datastore.engine === "etcd" ? readEtcdLog(join(deps.paths.etcd, "data")) : undefined,
        hasQuorum(view, signal),
      ]);
      return {
        ...epoch(self),
        addresses: [...view.addresses],
        engine: datastoreKind(view.datastore),
        ...(log === undefined ? {} : { log: { term: log.term, index: log.index } }),
        quorum,
        now: deps.now(),
      };
    },

    others: async (self, signal) =>
      (await askAll(self, "datastoreCopy", signal)).flatMap(({ name, address, answer, problem }): Answer[] => {
        if (answer === undefined) return [{ name, address, ...(problem === undefined ? {} : { problem }) }];
        return answer.id === self.id ? [] : [{ name: answer.name, address, copy: answer }];
      }),

    peers: () => {
      const self = deps.identity.read();
      if (self === undefined) return [];
      // Where there was a recovery, followed or not, an old address may be one of the other side.
      const first = (self.view.epoch ?? 1) === 1 && (self.view.declined ?? []).length === 0;
      return deps.roster
        .members()
        .filter(({ id, role, state }) => id !== self.id && role === "control-plane" && state === "active")
        .flatMap(({ id, addresses: [address] }) => (address !== undefined && (same.get(id) ?? first) ? [address] : []));
    },
  };
}

interface Told<T> {
  readonly name: string;
  readonly address: string;
  readonly answer?: T;
  readonly problem?: string;
}

function isSame({ cluster }: ClusterEpoch, { clusterId, view: { epoch = 1, recovery } }: Self): boolean {
  return cluster.id === clusterId && cluster.epoch === epoch && cluster.recovery?.id === recovery?.id;
}

/** Where k8sd of those is that etcd was told at its first start; all listen on one port unless somebody chose otherwise. */
function peersOf(view: NodeView): readonly (readonly [name: string, address: string])[] {
  if (view.datastore.engine !== "etcd") return [];
  const port = splitHostPort(view.k8sdAddress)?.port ?? 0;
  return Object.entries(view.datastore.initialCluster.peers).flatMap(([name, url]) => {
    const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
    return name === view.name || isIP(host) === 0 ? [] : [[name, hostPort(host, port)] as const];
  });
}
