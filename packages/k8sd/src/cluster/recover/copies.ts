import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import type { DatastoreCopy } from "@k8sd/api-types";
import { hostPort, splitHostPort } from "../../components/address.ts";
import type { NodeView } from "../../components/component.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import { readEtcdLog } from "../../datastore/etcd-log.ts";
import type { Paths } from "../../host/paths.ts";
import { errorText } from "../../lib/app-error.ts";
import { withDeadline } from "../../lib/wait.ts";
import type { IdentityStore, NodeIdentity } from "../../node-db/identity.ts";
import { fingerprint } from "../../pki/expiry.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { createClusterLink } from "../join/link.ts";
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
  own(self: Self, signal: AbortSignal): Promise<DatastoreCopy>;
  others(self: Self, signal: AbortSignal): Promise<readonly Answer[]>;
  /**
   * Addresses of control planes whose etcd holds the same data as this node's. After a recovery only of those that said so:
   * one that comes back still has its old data.
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

  async function ask(self: Self, address: string, pinned: string, signal: AbortSignal): Promise<DatastoreCopy> {
    const identity = deps.nodeKey.certificate(self.view.view.name, new Date(deps.now()));
    const link = createClusterLink({ addresses: [address], fingerprint: pinned, identity, patienceMs: 0 });
    return link.ask("datastoreCopy", undefined, withDeadline(signal, answerMs));
  }

  return {
    own: async ({ id, clusterId, view: { view, epoch = 1, recovery } }, signal) => {
      const isEtcd = view.datastore.engine === "etcd";
      const [log, quorum] = await Promise.all([
        isEtcd ? readEtcdLog(join(deps.paths.etcd, "data")) : undefined,
        hasQuorum(view, signal),
      ]);
      return {
        id,
        name: view.name,
        cluster: { id: clusterId, epoch, ...(recovery === undefined ? {} : { recovery }) },
        addresses: [...view.addresses],
        engine: view.datastore.engine,
        ...(log === undefined ? {} : { log: { term: log.term, index: log.index } }),
        quorum,
        rejoining: deps.rejoining(),
      };
    },

    others: async (self, signal) => {
      const pinned = fingerprint(await readFile(deps.paths.clusterCert, "utf8"));
      const answers = await Promise.all(
        known(self).map(async ({ name, address }): Promise<Answer | undefined> => {
          try {
            const copy = await ask(self, address, pinned, signal);
            if (copy.id === self.id) return undefined;
            same.set(copy.id, isSame(copy, self) && !copy.rejoining);
            return { name: copy.name, address, copy };
          } catch (error) {
            signal.throwIfAborted();
            return { name, address, problem: errorText(error) };
          }
        }),
      );
      return answers.filter((answer) => answer !== undefined);
    },

    peers: () => {
      const self = deps.identity.read();
      if (self === undefined) return [];
      const first = (self.view.epoch ?? 1) === 1;
      return deps.roster
        .members()
        .filter(({ id, role, state }) => id !== self.id && role === "control-plane" && state === "active")
        .flatMap(({ id, addresses: [address] }) => (address !== undefined && (same.get(id) ?? first) ? [address] : []));
    },
  };
}

function isSame({ cluster }: DatastoreCopy, { clusterId, view: { epoch = 1, recovery } }: Self): boolean {
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
