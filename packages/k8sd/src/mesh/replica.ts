import { AppError } from "../lib/app-error.ts";
import type { Authority } from "./authority.ts";
import { encode, limits } from "./codec.ts";
import {
  applyDelta,
  type Delta,
  deltaSince,
  difference,
  emptyState,
  type LedgerState,
  stateOf,
} from "./ledger-state.ts";
import type { Chunk, LedgerEntry, ReplicaMessage, SignedHead } from "./messages.ts";
import { createPuller } from "./puller.ts";
import { type Head, isNewer, type MeshClock, type NodeId, noHead, type Random, type Sender, someOf } from "./types.ts";

/** Everything the ledger holds at one revision, as a control plane read it from the datastore in one transaction. */
export interface LedgerRevision extends Head {
  readonly records: readonly LedgerEntry[];
}

/** The part of `node.db` that a replica lives in. Both are one transaction: a crash leaves the old or the new copy. */
export interface ReplicaStore {
  load(): { readonly head: SignedHead; readonly entries: readonly LedgerEntry[] } | undefined;
  save(head: SignedHead, delta: Delta): void;
}

export interface ReplicaOptions {
  /** Random nodes that a new revision is handed to, at once and in each further round. */
  readonly fanout: number;
  readonly rounds: number;
  readonly roundMs: number;
  /** A change that is larger is announced and fetched: most of those it would be pushed to have it already. */
  readonly pushBytes: number;
  /** A part of an answer to a pull. */
  readonly chunkBytes: number;
  /** A copy that is larger is refused: 64 times what 1,000 nodes take. */
  readonly maxBytes: number;
  readonly pullTimeoutMs: number;
  /** A peer whose copy did not hold what it promised is not asked again for this long. */
  readonly distrustMs: number;
}

export const replicaDefaults: ReplicaOptions = {
  fanout: 2,
  rounds: 2,
  roundMs: 200,
  pushBytes: 4 * 1024,
  chunkBytes: 32 * 1024,
  maxBytes: 32 * 1024 * 1024,
  pullTimeoutMs: 500,
  distrustMs: 10_000,
};

export interface ReplicaDeps {
  readonly clock: MeshClock;
  readonly random: Random;
  readonly sender: Sender;
  readonly authority: Authority;
  readonly store: ReplicaStore;
  /** Whom to talk to. */
  live(): readonly NodeId[];
  /** Hands a new revision of our own to everybody at once where the transport can. */
  broadcast(message: Uint8Array): void;
  onChange(head: Head): void;
}

/**
 * This node's copy of the ledger. It only moves to newer heads that a control plane signed and whose records hash to the
 * signed root, so it does not matter who delivered them. New revisions are pushed; every probe and every answer of the
 * detector compares heads, and whoever is behind pulls: that is the anti-entropy.
 */
export interface Replica {
  readonly head: Head;
  /** undefined: this node has no copy yet. */
  readonly signed: SignedHead | undefined;
  readonly entries: ReadonlyMap<string, LedgerEntry>;
  /** @returns false when a copy at least as new was there already */
  publish(revision: LedgerRevision): boolean;
  receive(from: NodeId, message: ReplicaMessage): void;
  /** A peer says how new its copy is. */
  onHead(from: NodeId, head: Head): void;
  /** For a transport that floods: pass a message on only if this node would take it or has it. */
  accepts(message: Chunk): boolean;
  /** Who may author has changed. */
  recheck(): void;
  /** Messages that were refused since the start: unsigned, not by a control plane, or not what was signed. */
  readonly refused: number;
  stop(): void;
}

export function createReplica(options: ReplicaOptions, deps: ReplicaDeps): Replica {
  const { clock, random, sender, authority, store } = deps;
  const stored = store.load();
  let signed: SignedHead | undefined = stored?.head;
  let state: LedgerState = stored === undefined ? emptyState : stateOf(stored.entries, stored.head.revision);
  let refused = 0;
  let pushTimer: (() => void) | undefined;

  /** What an author signed that is out by now counts no more: it may be of a side of the cluster that was given up. */
  let upheld = true;
  const current = (): SignedHead | undefined => (upheld ? signed : undefined);
  const head = (): Head => current() ?? noHead;
  const puller = createPuller(options, {
    clock,
    random,
    sender,
    have: head,
    complete: (from, of, delta) => take(of, delta, from),
    refuse: () => {
      refused++;
    },
  });

  function commit(next: SignedHead, delta: Delta, result: LedgerState): void {
    const before = head();
    store.save(next, delta);
    signed = next;
    upheld = true;
    state = result;
    push(before, options.rounds);
    deps.onChange({ epoch: next.epoch, revision: next.revision });
  }

  /** @returns false when it is not what was signed */
  function take(next: SignedHead, delta: Delta, from: NodeId): boolean {
    if (!isNewer(next, head()) || !fits(delta.base)) return true;
    const result = authority.verify(next) ? applyDelta(state, delta, next.revision) : undefined;
    if (result === undefined || !sameBytes(result.root, next.root)) {
      refused++;
      puller.distrust(from, delta.base !== undefined);
      return false;
    }
    commit(next, delta, result);
    return true;
  }

  function push(before: Head, rounds: number): void {
    pushTimer?.();
    pushTimer = undefined;
    const own = current();
    if (own === undefined) return;
    const behind = deps.live().filter((id) => isNewer(own, puller.known(id)));
    const targets = someOf(behind, options.fanout, sender, random);
    if (targets.length > 0) {
      const message = pushMessage(own, before);
      for (const to of targets) sender.send(to, message);
    }
    if (rounds > 0) pushTimer = clock.after(options.roundMs, () => push(before, rounds - 1));
  }

  function pushMessage(current: SignedHead, before: Head): Uint8Array {
    const chunk = chunkOf(deltaSince(state, before, current), current, "", options.pushBytes);
    const message = chunk.last ? encode(chunk) : undefined;
    if (message !== undefined && message.length <= options.pushBytes) return message;
    return encode({ type: "announce", head: { epoch: current.epoch, revision: current.revision } });
  }

  function answerPull(to: NodeId, have: Head, after: string): void {
    const own = current();
    if (own === undefined || !isNewer(own, have)) return;
    sender.send(to, encode(chunkOf(deltaSince(state, have, own), own, after, options.chunkBytes)));
  }

  function receiveChunk(from: NodeId, chunk: Chunk): void {
    puller.heard(from, chunk.head);
    if (!isNewer(chunk.head, head())) return;
    if (puller.expects(from, chunk)) puller.add(chunk);
    else if (chunk.after === "" && chunk.last && fits(chunk.base)) take(chunk.head, chunk, from);
    else puller.behind(from, chunk.head);
  }

  const fits = (base: Head | undefined): boolean =>
    base === undefined || (base.epoch === head().epoch && base.revision <= head().revision);

  return {
    get head() {
      const { epoch, revision } = head();
      return { epoch, revision };
    },
    get signed() {
      return signed;
    },
    get entries() {
      return state.entries;
    },
    get refused() {
      return refused;
    },
    publish: (revision) => {
      if (!isNewer(revision, head())) return false;
      checkRecords(revision);
      const delta =
        revision.epoch === head().epoch
          ? difference(state, revision.records, head(), revision.revision)
          : { base: undefined, entries: revision.records, removed: [] };
      const result = applyDelta(state, delta, revision.revision);
      const next = authority.sign(revision, result.root);
      if (next === undefined) {
        throw new AppError("forbidden", "cannot publish a ledger revision: this node is not a control plane");
      }
      const before = head();
      commit(next, delta, result);
      deps.broadcast(pushMessage(next, before));
      return true;
    },
    receive: (from, message) => {
      if (message.type === "pull") {
        puller.heard(from, message.have);
        answerPull(from, message.have, message.after);
      } else if (message.type === "announce") puller.behind(from, message.head);
      else receiveChunk(from, message);
    },
    onHead: (from, theirs) => puller.behind(from, theirs),
    accepts: (chunk) =>
      isNewer(chunk.head, head())
        ? authority.verify(chunk.head)
        : signed !== undefined && !isNewer(head(), chunk.head) && sameBytes(signed.root, chunk.head.root),
    recheck: () => {
      upheld = signed !== undefined && authority.verify(signed);
    },
    stop: () => {
      pushTimer?.();
      puller.stop();
    },
  };
}

/** What follows `after`, at most about `size` bytes of it; at least one record, or nothing would ever get across. */
function chunkOf(delta: Delta, head: SignedHead, after: string, size: number): Chunk {
  const entries = delta.entries.filter((entry) => entry.key > after).sort((a, b) => (a.key < b.key ? -1 : 1));
  const removed = after === "" ? delta.removed : [];
  let bytes = removed.reduce((sum, { key }) => sum + Buffer.byteLength(key) + 8, 0);
  let count = 0;
  for (const { key, value } of entries) {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value) + 16;
    if (count > 0 && (bytes > size || count === limits.entries)) break;
    count++;
  }
  const last = count === entries.length;
  return { type: "chunk", head, base: delta.base, after, last, entries: entries.slice(0, count), removed };
}

function checkRecords(revision: LedgerRevision): void {
  for (const { key, value, revision: at } of revision.records) {
    const reason =
      key === "" || Buffer.byteLength(key) > limits.keyBytes
        ? `its key has to be 1 to ${limits.keyBytes} bytes`
        : Buffer.byteLength(value) > limits.valueBytes
          ? `it is larger than ${limits.valueBytes} bytes`
          : at > revision.revision
            ? `it is newer than revision ${revision.revision}`
            : undefined;
    if (reason !== undefined) throw new AppError("invalid", `cannot publish the record ${key}: ${reason}`);
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
