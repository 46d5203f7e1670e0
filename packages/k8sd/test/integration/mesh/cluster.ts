import { generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto";
import { createNodeKey } from "../../../src/cluster/node-key.ts";
import type { CachedPeer, PeerCache } from "../../../src/mesh/address-book.ts";
import type { DetectorOptions } from "../../../src/mesh/detector-options.ts";
import { meshIdentity } from "../../../src/mesh/identity.ts";
import { createMesh, type Mesh, type MeshMember } from "../../../src/mesh/mesh.ts";
import type { LedgerEntry, SignedHead } from "../../../src/mesh/messages.ts";
import type { ReplicaStore } from "../../../src/mesh/replica.ts";

export interface TestNode {
  readonly id: string;
  readonly key: KeyObject;
  readonly store: ReplicaStore;
  readonly peers: PeerCache;
  mesh: Mesh;
  member: MeshMember;
}

export const clusterId = "a-cluster";

export function memoryStore(): ReplicaStore {
  let head: SignedHead | undefined;
  const entries = new Map<string, LedgerEntry>();
  return {
    load: () => (head === undefined ? undefined : { head, entries: [...entries.values()] }),
    save: (next, delta) => {
      head = next;
      if (delta.base === undefined) entries.clear();
      for (const { key } of delta.removed) entries.delete(key);
      for (const entry of delta.entries) entries.set(entry.key, entry);
    },
  };
}

export function memoryPeers(): PeerCache {
  let peers: readonly CachedPeer[] = [];
  return {
    load: () => peers,
    save: (wanted) => {
      peers = wanted;
    },
  };
}

export function newKey(curve: "P-256" | "ed25519"): KeyObject {
  return curve === "ed25519"
    ? generateKeyPairSync("ed25519").privateKey
    : generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** A node with its mesh started on a free port of the loopback; the first `author` is a control plane. */
export async function startNode(options: {
  author: boolean;
  like?: TestNode;
  port?: number;
  bornAt?: Date;
  detector?: Partial<DetectorOptions>;
}): Promise<TestNode> {
  const id = options.like?.id ?? randomUUID();
  const key = options.like?.key ?? newKey("P-256");
  const store = options.like?.store ?? memoryStore();
  const peers = options.like?.peers ?? memoryPeers();
  const mesh = createMesh(
    // On a machine that is busy a good-bye takes longer than a daemon would wait for it.
    {
      self: id,
      clusterId,
      hosts: ["127.0.0.1"],
      port: options.port ?? 0,
      detector: { leaveDeadlineMs: 15_000, ...options.detector },
    },
    { nodeKey: key, certificate: createNodeKey(key).meshCertificate(options.bornAt ?? new Date()), store, peers },
  );
  const member = { id, peerId: meshIdentity(key).peerId, author: options.author };
  await mesh.start();
  return { id, key, store, peers, mesh, member: { ...member, addresses: [`127.0.0.1:${mesh.port}`] } };
}

export async function startCluster(
  count: number,
  detector: Partial<DetectorOptions> = {},
): Promise<TestNode[] & AsyncDisposable> {
  const nodes = await Promise.all(
    Array.from({ length: count }, (_, index) => startNode({ author: index === 0, detector })),
  );
  introduce(nodes);
  return Object.assign(nodes, {
    [Symbol.asyncDispose]: async () => {
      await Promise.all(nodes.map(({ mesh }) => mesh.stop()));
    },
  });
}

export function introduce(nodes: readonly TestNode[]): void {
  const members = nodes.map(({ member }) => member);
  for (const { mesh } of nodes) mesh.setMembers(members);
}

/** What `observer` believes of `subject`. */
export function stateOf(observer: TestNode, subject: TestNode): string {
  return observer.mesh.view().get(subject.id)?.state ?? "missing";
}
