import { type AddressBook, createAddressBook, type PeerCache } from "./address-book.ts";
import type { Authority } from "./authority.ts";
import { decode, encode, limits } from "./codec.ts";
import { createDetector } from "./detector.ts";
import type { DetectorOptions } from "./detector-options.ts";
import type { Detector, Expected, LivenessChange } from "./liveness.ts";
import type { NodeAddresses } from "./messages.ts";
import { createReplica, type Replica, type ReplicaOptions, type ReplicaStore } from "./replica.ts";
import { type Head, type MeshClock, type NodeId, type Random, type Sender, someOf } from "./types.ts";

/** What the ledger says of a node, as far as the mesh needs it. */
export interface CoreMember extends Expected {
  /** `host:port` of its mesh. */
  readonly addresses: readonly string[];
}

export interface CoreOptions {
  readonly self: NodeId;
  /** Under which others find this node: `host:port`. */
  readonly addresses: readonly string[];
  readonly detector: DetectorOptions;
  readonly replica: ReplicaOptions;
}

export interface CoreDeps {
  readonly clock: MeshClock;
  readonly random: Random;
  readonly sender: Sender;
  readonly authority: Authority;
  readonly store: ReplicaStore;
  readonly peers: PeerCache;
  broadcast(message: Uint8Array): void;
  onLiveness(change: LivenessChange): void;
  onProbed?(id: NodeId, answered: boolean): void;
  onLedger(head: Head): void;
}

/** The protocols of one node, without a network: bytes come in and go out through the deps. */
export interface Core {
  readonly detector: Detector;
  readonly replica: Replica;
  readonly book: AddressBook;
  setMembers(members: readonly CoreMember[]): void;
  /** @param from as the transport has authenticated it */
  receive(from: NodeId, bytes: Uint8Array): void;
  stop(): void;
  /** For a transport that floods: whether to pass a message on. */
  acceptsBroadcast(bytes: Uint8Array): boolean;
}

/** Changes of addresses come in crowds; what a crash loses of them is told again. */
const saveMs = 1_000;

export function createCore(options: CoreOptions, deps: CoreDeps): Core {
  const { self } = options;
  let cancelSave: (() => void) | undefined;
  const book = createAddressBook(deps.peers, () => {
    cancelSave ??= deps.clock.after(saveMs, save);
  });
  let members: ReadonlySet<NodeId> = new Set();
  // Above that of every earlier start; a node whose clock went back is told by the others and goes above.
  const incarnation = Math.max(1, Math.floor(deps.clock.wallTime()));
  const detector = createDetector(
    { ...options.detector, self, incarnation },
    {
      clock: deps.clock,
      random: deps.random,
      sender: deps.sender,
      head: () => replica.head,
      onHead: (from, head) => replica.onHead(from, head),
      onChange: deps.onLiveness,
      ...(deps.onProbed === undefined ? {} : { onProbed: deps.onProbed }),
      onReturn: (id) => tellAddresses([id], [ownAddresses(), ...book.deviations()]),
    },
  );
  const replica = createReplica(options.replica, {
    clock: deps.clock,
    random: deps.random,
    sender: deps.sender,
    authority: deps.authority,
    store: deps.store,
    live: () => detector.live(),
    broadcast: deps.broadcast,
    onChange: deps.onLedger,
  });

  const ownAddresses = (): NodeAddresses => ({
    id: self,
    incarnation: detector.incarnation,
    addresses: options.addresses,
  });

  function save(): void {
    cancelSave?.();
    cancelSave = undefined;
    book.save();
  }

  function tellAddresses(to: readonly NodeId[], entries: readonly NodeAddresses[]): void {
    const message = encode({ type: "addresses", entries: entries.slice(0, limits.addressEntries) });
    if (message.length > limits.messageBytes) return;
    for (const id of to) deps.sender.send(id, message);
  }

  function learn(entries: readonly NodeAddresses[]): void {
    const news = entries.filter((entry) => entry.id !== self && book.learn(entry));
    if (news.length > 0) tellAddresses(someOf(detector.live(), options.replica.fanout, deps.sender, deps.random), news);
  }

  return {
    detector,
    replica,
    book,
    setMembers: (wanted) => {
      members = new Set(wanted.map(({ id }) => id));
      detector.setMembers(wanted);
      book.setLedger(wanted);
      replica.recheck();
    },
    receive: (from, bytes) => {
      if (!members.has(from)) return;
      const message = decode(bytes);
      if (message === undefined) return;
      switch (message.type) {
        case "addresses":
          learn(message.entries);
          break;
        case "pull":
        case "announce":
        case "chunk":
          replica.receive(from, message);
          break;
        default:
          detector.receive(from, message);
      }
    },
    stop: () => {
      detector.stop();
      replica.stop();
      if (cancelSave !== undefined) save();
    },
    acceptsBroadcast: (bytes) => {
      const message = decode(bytes);
      if (message?.type === "announce") return true;
      return message?.type === "chunk" && message.after === "" && message.last && replica.accepts(message);
    },
  };
}
