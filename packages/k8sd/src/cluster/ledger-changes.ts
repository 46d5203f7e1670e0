import type { Datastore, KeyValue, Revision, WatchEvent } from "../datastore/datastore.ts";
import { AppError } from "../lib/app-error.ts";
import { sleep } from "../lib/wait.ts";
import type { ClusterConfig } from "./config/types.ts";
import { type ClusterRecord, clusterKey, configKey, type MemberRecord, membersPrefix } from "./ledger-records.ts";
import { storedOf } from "./ledger-store.ts";

export interface LedgerChange {
  /** A snapshot replaces all that was known; a change adds to it. Of several changes that came at once to one record, the last. */
  readonly kind: "snapshot" | "change";
  readonly revision: Revision;
  readonly cluster?: ClusterRecord;
  readonly config?: ClusterConfig;
  readonly members: readonly MemberRecord[];
  /** Ids of members whose records are gone. */
  readonly forgotten: readonly string[];
}

export interface ChangesOptions {
  /** The first revision wanted; 0: a snapshot, then all that follows. */
  readonly from: Revision;
  readonly signal: AbortSignal;
}

/** Cluster, configuration and members lie beside each other: one range, read and watched as one. */
const range = { from: clusterKey, end: `${membersPrefix.slice(0, -1)}0` };
/** The datastore is away: it comes back in seconds, or a person has to act. */
const retryMs = 500;
const timeoutMs = 5_000;

/** Ends with the signal. What was compacted away is made up for by a new snapshot. */
export async function* ledgerChanges(
  datastore: Pick<Datastore, "range" | "watch">,
  { from, signal }: ChangesOptions,
): AsyncGenerator<LedgerChange> {
  let next = from;
  while (!signal.aborted) {
    if (next === 0) {
      const snapshot = await readSnapshot(datastore, signal);
      if (snapshot === undefined) continue;
      next = snapshot.revision + 1;
      yield snapshot;
    }
    for await (const batch of datastore.watch(range, { from: next, signal })) {
      if (batch.kind === "compacted") break;
      next = batch.revision + 1;
      if (batch.kind !== "events") continue;
      const change = changeOf(batch.events, batch.revision);
      if (change !== undefined) yield change;
    }
    // Whatever ended the watch: what is known now may have a gap.
    next = 0;
  }
}

async function readSnapshot(
  datastore: Pick<Datastore, "range">,
  signal: AbortSignal,
): Promise<LedgerChange | undefined> {
  try {
    const { kvs, revision } = await datastore.range(range, { signal, timeoutMs });
    return { kind: "snapshot", revision, ...contentOf(kvs), forgotten: [] };
  } catch (error) {
    if (signal.aborted) return undefined;
    if (!(error instanceof AppError && error.retryable)) throw error;
    await sleep(retryMs, signal).catch(() => {
      // Aborted: the caller's loop ends.
    });
    return undefined;
  }
}

function changeOf(events: readonly WatchEvent[], revision: Revision): LedgerChange | undefined {
  // Of several changes to one key the last one counts.
  const last = new Map(events.map((event) => [keyOf(event), event]));
  const kvs = [...last.values()].flatMap((event) => (event.type === "put" ? [event.kv] : []));
  const forgotten = [...last].flatMap(([key, event]) =>
    event.type === "delete" && key.startsWith(membersPrefix) ? [key.slice(membersPrefix.length)] : [],
  );
  const content = contentOf(kvs);
  const empty = content.members.length === 0 && content.cluster === undefined && content.config === undefined;
  return empty && forgotten.length === 0 ? undefined : { kind: "change", revision, ...content, forgotten };
}

function contentOf(kvs: readonly KeyValue[]): Pick<LedgerChange, "cluster" | "config" | "members"> {
  const at = (key: string) => kvs.find((kv) => keyText(kv.key) === key);
  const cluster = at(clusterKey);
  const config = at(configKey);
  return {
    ...(cluster === undefined ? {} : { cluster: storedOf<ClusterRecord>(cluster).value }),
    ...(config === undefined ? {} : { config: storedOf<ClusterConfig>(config).value }),
    members: kvs.filter((kv) => keyText(kv.key).startsWith(membersPrefix)).map(toMember),
  };
}

export function toMember(kv: KeyValue): MemberRecord {
  const { value, revision } = storedOf<MemberRecord>(kv);
  return { ...value, revision };
}

function keyOf(event: WatchEvent): string {
  return keyText(event.type === "put" ? event.kv.key : event.key);
}

function keyText(key: Uint8Array): string {
  return Buffer.from(key).toString("utf8");
}
