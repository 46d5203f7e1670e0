import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { AppError } from "../../../lib/app-error.ts";
import { untilAborted } from "../../../lib/wait.ts";
import type { KeySpan } from "../key-range.ts";
import type { Change, HistoryView, Past } from "../store.ts";
import type { Connection } from "./connection.ts";
import { fetchChanges } from "./queries.ts";
import type { Readers } from "./readers.ts";
import { type State, stateColumns, toState } from "./schema.ts";
import type { Session } from "./session.ts";
import { channel } from "./write-batch.ts";

/** Tells this server's watches of all that was written, by whichever server, in order and once. */
export interface Follower {
  readonly history: HistoryView;
  /** The newest revision known here. */
  known(): number;
  /**
   * Called before a state is read, gives what to call with it: learns what is new, and throws, and ends the server, when the
   * database went back or is another one.
   */
  lookout(): (state: State) => void;
  /** What a commit of this server changed. */
  committed(before: State, after: Pick<State, "revision" | "compactRevision">, changes: readonly Change[]): void;
  caughtUp(): Promise<void>;
  stop(): Promise<void>;
}

export interface FollowerDeps {
  /** Of its own: it listens here. */
  readonly listener: (opened: (connection: Connection) => Promise<void>) => Session;
  readonly serverId: string;
  readonly first: State;
  readonly readers: () => Pick<Readers, "query">;
  readonly publish: (changes: readonly Change[]) => void;
  readonly watched: () => boolean;
  readonly log: Logger;
  readonly broken: (error: unknown) => void;
}

/** Finds what a lost notification would have told. */
const pollMs = 1_000;
const retryMs = 200;
const changesAtOnce = 1_000;
/** How long a watch's start waits for a database that is away; then it begins with what is known. */
const catchUpMs = 3_000;
const everything: KeySpan = { kind: "from", key: Buffer.alloc(0) };

export function createFollower(deps: FollowerDeps): Follower {
  const { listener, serverId, first, readers, publish, watched, log, broken } = deps;
  const stopping = new AbortController();
  const { signal } = stopping;
  let published = first.revision;
  let compactRevision = first.compactRevision;
  let target = first.revision;
  let advancing = false;
  let waiting: { readonly revision: number; readonly resolve: () => void }[] = [];

  function tell(revision: number, changes: readonly Change[]): void {
    published = revision;
    publish(changes);
    const reached = waiting.filter((each) => each.revision <= revision);
    waiting = waiting.filter((each) => each.revision > revision);
    for (const { resolve } of reached) resolve();
  }

  function learn(revision: number): void {
    if (revision <= target) return;
    target = revision;
    if (!advancing) void advance();
  }

  /** One at a time: so events keep their order. */
  async function advance(): Promise<void> {
    advancing = true;
    try {
      while (published < target) {
        if (!watched()) {
          tell(target, []);
          continue;
        }
        const past = await changes(everything, published + 1, changesAtOnce, true);
        const upTo = past.more ? (past.changes.at(-1)?.kv.modRevision ?? published) : past.revision;
        target = Math.max(target, upTo);
        tell(upTo, past.changes);
      }
    } catch (error) {
      if (!signal.aborted) broken(error);
    } finally {
      advancing = false;
    }
  }

  /** Fails only when the server stops. */
  async function changes(span: KeySpan, from: number, limit: number, withPrevious: boolean): Promise<Past> {
    for (;;) {
      try {
        return await readers().query(async (connection, { revision, compactRevision: compacted }) => ({
          ...(await fetchChanges(connection, span, from, limit, withPrevious)),
          revision,
          compactRevision: compacted,
        }));
      } catch (error) {
        signal.throwIfAborted();
        log.warn({ err: error }, "Cannot read history yet");
        await pause(retryMs, undefined, { signal });
      }
    }
  }

  function lookout(): (state: State) => void {
    const floor = target;
    return (state) => {
      if (state.clusterId !== first.clusterId) throw refuse("it holds another store than at the start");
      if (state.revision < floor) throw refuse(`it went back from revision ${floor} to ${state.revision}`);
      compactRevision = Math.max(compactRevision, state.compactRevision);
      learn(state.revision);
    };
  }

  function refuse(why: string): AppError {
    const error = new AppError("conflict", `cannot go on with this database: ${why}`, {
      remedy: "acknowledged writes are lost, as after a failover or a restore: start the server, its clients read anew",
    });
    broken(error);
    return error;
  }

  const session = listener(async (connection) => {
    connection.onNotification((payload) => {
      const [writer, revision] = payload.split(" ");
      if (writer !== serverId) learn(Number(revision));
    });
    await connection.rows(`LISTEN ${channel}`);
  });
  const readState = async (connection: Connection): Promise<void> => {
    const look = lookout();
    look(toState((await connection.rows(`SELECT ${stateColumns} FROM state`))[0]));
  };

  async function poll(): Promise<void> {
    for (;;) {
      try {
        await session.use(readState);
        await pause(pollMs, undefined, { signal });
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error }, "Cannot hear from PostgreSQL");
        await pause(retryMs, undefined, { signal }).catch(() => {});
      }
    }
  }
  const polling = poll();

  const reached = (revision: number): Promise<void> =>
    published >= revision ? Promise.resolve() : new Promise((resolve) => waiting.push({ revision, resolve }));

  return {
    history: {
      revision: () => published,
      compactRevision: () => compactRevision,
      changes,
      previous: (change) => change.previous,
    },
    known: () => target,
    lookout,
    committed(before, after, own) {
      compactRevision = Math.max(compactRevision, after.compactRevision);
      if (advancing || published !== before.revision) return learn(after.revision);
      target = Math.max(target, after.revision);
      tell(after.revision, own);
    },
    async caughtUp() {
      const newest = readers()
        .query(async (_, { revision }) => revision)
        .then(reached);
      const late = AbortSignal.any([signal, AbortSignal.timeout(catchUpMs)]);
      await Promise.race([newest.catch(() => {}), untilAborted(late)]);
    },
    async stop() {
      stopping.abort();
      await session.end();
      await polling;
    },
  };
}
