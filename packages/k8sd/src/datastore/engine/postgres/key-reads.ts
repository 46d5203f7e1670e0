import type { KeyValue } from "../../gen/etcd.ts";
import type { ReadView } from "../store.ts";
import type { Follower } from "./follower.ts";
import { createNeeds, type KeyNeeds, type Needs, rehearse } from "./needs.ts";
import { findKeysWithState } from "./queries.ts";
import type { State } from "./schema.ts";
import type { Session } from "./session.ts";

export interface KeyReadsDeps {
  /** Of its own: one statement is under way at a time. */
  readonly session: Session;
  readonly lookout: Follower["lookout"];
  readonly viewOf: (state: State, needs: Needs) => ReadView;
  /** Called with each state that was read. */
  readonly learned: (state: State) => void;
}

export interface KeyRead {
  readonly run: (view: ReadView) => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  /** It asks for more than it seemed to, or the database did not answer: it has to go another way. */
  readonly otherwise: () => void;
}

/**
 * Reads that need nothing but keys: a statement that brings the state with them is a snapshot of its own, and takes the place
 * of a transaction. What comes while one is under way shares the next.
 */
export interface KeyReads {
  /** False: it is none of those. @param guess a state that is good enough to find out what the read asks for. */
  take(read: KeyRead, guess: State): boolean;
}

interface Waiting extends KeyRead {
  readonly needs: KeyNeeds;
  readonly keys: readonly Uint8Array[];
}

/** Keys of one statement: what comes later does not wait for more. */
const maxShared = 64;

export function createKeyReads({ session, lookout, viewOf, learned }: KeyReadsDeps): KeyReads {
  const queue: Waiting[] = [];
  let busy = false;

  function schedule(): void {
    if (busy || queue.length === 0) return;
    busy = true;
    setImmediate(() => void serve(queue.splice(0, maxShared)));
  }

  async function serve(reads: readonly Waiting[]): Promise<void> {
    try {
      const keys = reads.flatMap((read) => read.keys);
      const look = lookout();
      const { state, kvs } = await session.use((connection) => findKeysWithState(connection, keys));
      look(state);
      learned(state);
      for (const read of reads) answer(read, state, kvs);
    } catch {
      // What waits behind would have to wait for the next failure.
      for (const read of [...reads, ...queue.splice(0)]) read.otherwise();
    }
    busy = false;
    schedule();
  }

  function answer({ needs, run, resolve, reject, otherwise }: Waiting, state: State, kvs: readonly KeyValue[]): void {
    needs.give(kvs);
    try {
      const done = needs.attempt(() => run(viewOf(state, needs)));
      if (done) resolve(done.value as never);
      else otherwise();
    } catch (error) {
      reject(error);
    }
  }

  return {
    take(read, guess) {
      const needs = createNeeds();
      rehearse(() => read.run(viewOf(guess, needs)));
      const keys = needs.lackingKeys();
      if (!keys) return false;
      queue.push({ ...read, needs, keys });
      schedule();
      return true;
    },
  };
}
