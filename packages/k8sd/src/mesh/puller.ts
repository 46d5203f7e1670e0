import { encode, limits } from "./codec.ts";
import type { Delta } from "./ledger-state.ts";
import type { Chunk, LedgerEntry, SignedHead } from "./messages.ts";
import type { ReplicaOptions } from "./replica.ts";
import { type Head, isNewer, type MeshClock, type NodeId, noHead, type Random, type Sender, sample } from "./types.ts";

export interface PullerDeps {
  readonly clock: MeshClock;
  readonly random: Random;
  readonly sender: Sender;
  have(): Head;
  complete(from: NodeId, head: SignedHead, delta: Delta): boolean;
  refuse(): void;
}

interface Session {
  readonly from: NodeId;
  /** What was asked for: the answer goes on from there. */
  readonly have: Head;
  head: SignedHead | undefined;
  base: Head | undefined;
  after: string;
  bytes: number;
  entries: LedgerEntry[];
  removed: Delta["removed"];
  cancel: () => void;
}

/** Fetches what is newer elsewhere, part by part, from one peer at a time. */
export interface Puller {
  /** A peer says it is at `head`; starts a pull if that is newer than ours. */
  behind(from: NodeId, head: Head): void;
  heard(from: NodeId, head: Head): void;
  /** The newest head that a peer was heard of. */
  known(id: NodeId): Head;
  expects(from: NodeId, chunk: Chunk): boolean;
  add(chunk: Chunk): void;
  /** @param fromScratch ask for the whole state once, because the copies may have grown apart */
  distrust(from: NodeId, fromScratch: boolean): void;
  stop(): void;
}

export function createPuller(options: ReplicaOptions, deps: PullerDeps): Puller {
  const { clock, random, sender } = deps;
  const heads = new Map<NodeId, Head>();
  const distrusted = new Map<NodeId, number>();
  let session: Session | undefined;
  let fromScratch = false;

  function heard(from: NodeId, head: Head): void {
    if (isNewer(head, heads.get(from) ?? noHead)) heads.set(from, { epoch: head.epoch, revision: head.revision });
  }

  function start(from: NodeId): void {
    const have = fromScratch ? noHead : deps.have();
    session = {
      from,
      have,
      head: undefined,
      base: undefined,
      after: "",
      bytes: 0,
      entries: [],
      removed: [],
      cancel: () => {},
    };
    ask(session);
  }

  function ask(running: Session): void {
    running.cancel();
    running.cancel = clock.after(options.pullTimeoutMs, () => {
      if (session !== running) return;
      // Lost or gone: the next probe brings this peer's head again, if it lives.
      heads.delete(running.from);
      session = undefined;
      next();
    });
    sender.send(running.from, encode({ type: "pull", have: running.have, after: running.after }));
  }

  function next(): void {
    if (session !== undefined) return;
    const ahead = [...heads].flatMap(([id, head]) => (isNewer(head, deps.have()) && trusted(id) ? [id] : []));
    const [from] = sample(ahead, 1, random);
    if (from !== undefined) start(from);
  }

  function trusted(id: NodeId): boolean {
    const until = distrusted.get(id);
    if (until === undefined) return true;
    if (clock.monotonic() < until) return false;
    return distrusted.delete(id);
  }

  function end(): void {
    session?.cancel();
    session = undefined;
  }

  return {
    heard,
    behind: (from, head) => {
      heard(from, head);
      if (session === undefined && isNewer(head, deps.have()) && trusted(from)) start(from);
    },
    known: (id) => heads.get(id) ?? noHead,
    expects: (from, chunk) =>
      session !== undefined &&
      session.from === from &&
      session.after === chunk.after &&
      isBase(session.have, chunk.base),
    add: (chunk) => {
      const running = session;
      if (running === undefined) return;
      const moved = running.head !== undefined && Buffer.compare(running.head.root, chunk.head.root) !== 0;
      running.bytes += chunk.entries.reduce((sum, entry) => sum + entry.key.length + entry.value.length, 0);
      const last = chunk.entries.at(-1);
      const stuck = !chunk.last && (last === undefined || last.key <= running.after);
      if (moved || stuck || running.bytes > options.maxBytes) {
        end();
        // The peer has moved on in the middle: begin again. Anything else is its fault.
        if (moved) start(running.from);
        else {
          deps.refuse();
          distrusted.set(running.from, clock.monotonic() + options.distrustMs);
          next();
        }
        return;
      }
      running.head = chunk.head;
      running.base = chunk.base;
      running.entries.push(...chunk.entries);
      running.removed = [...running.removed, ...chunk.removed].slice(0, limits.entries);
      if (!chunk.last) {
        running.after = last?.key ?? "";
        ask(running);
        return;
      }
      end();
      const { head, base, entries, removed } = running;
      if (deps.complete(running.from, head, { base, entries, removed })) fromScratch = false;
      next();
    },
    distrust: (from, mayHaveGrownApart) => {
      if (mayHaveGrownApart && !fromScratch) fromScratch = true;
      else distrusted.set(from, clock.monotonic() + options.distrustMs);
    },
    stop: end,
  };
}

/** An answer starts where the question said, or from nothing. */
function isBase(have: Head, base: Head | undefined): boolean {
  return base === undefined || (base.epoch === have.epoch && base.revision === have.revision);
}
