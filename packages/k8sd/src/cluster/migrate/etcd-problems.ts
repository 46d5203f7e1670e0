import { externalProblems, neededPrefixes } from "../../datastore/check-external.ts";
import { createEtcdClient } from "../../datastore/client.ts";
import { isCompacted } from "../../datastore/client-errors.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import { raiseProblem } from "../../datastore/migrate/raise.ts";
import { revisionSeen } from "../../datastore/told.ts";
import type { Conflict } from "../../host/host.ts";
import { AppError } from "../../lib/app-error.ts";
import { tlsOf } from "../connections.ts";
import type { Destination } from "./destination.ts";

const answerMs = 5_000;

/** Why an etcd of somebody else cannot take the data that a store holds. */
export async function etcdProblems(
  { servers, access }: NonNullable<Destination["etcd"]>,
  source: Datastore,
  signal: AbortSignal,
): Promise<readonly Conflict[]> {
  const tls = tlsOf(access);
  const [problems, foreign] = await Promise.all([
    externalProblems({ endpoints: servers, tls }, signal),
    foreignKeys(source, signal),
  ]);
  const found = problems.map((problem) => ({ field: "datastore-servers", ...problem }));
  if (found.length > 0) return [...found, ...foreign];
  await using target = createEtcdClient({ endpoints: servers, tls });
  const [compaction, from, to] = await Promise.all([
    compactionProblems(target, signal),
    revisionSeen(source, signal),
    revisionSeen(target, signal),
  ]);
  const raise = raiseProblem(from - to, from);
  const low = raise === undefined ? [] : [{ ...raise, message: `the etcd cannot hold this cluster: ${raise.message}` }];
  return [...foreign, ...compaction, ...low];
}

/** What clients know from before has to count as compacted there, or a list that they go on with would end as if it were empty. */
async function compactionProblems(target: Datastore, signal: AbortSignal): Promise<readonly Conflict[]> {
  try {
    // Nothing is older than the first revision.
    await target.compact(1, { signal, timeoutMs: answerMs });
    return [];
  } catch (error) {
    if (isCompacted(error)) return [];
    if (!(error instanceof AppError) || error.kind !== "forbidden") throw error;
    return [
      {
        message: "the etcd does not let us compact, without which clients would take its revisions for those they know",
        remedy: "Give the user of the client certificate the role root for the time of the move.",
      },
    ];
  }
}

/** There they would be somebody else's. */
async function foreignKeys(source: Datastore, signal: AbortSignal): Promise<readonly Conflict[]> {
  const call = { countOnly: true, signal, timeoutMs: answerMs };
  const all = await source.range({ prefix: "" }, call);
  const ours = await Promise.all(
    neededPrefixes.map((prefix) => source.range({ prefix }, { ...call, revision: all.revision })),
  );
  const others = all.count - ours.reduce((sum, { count }) => sum + count, 0);
  if (others === 0) return [];
  return [
    {
      message: `the datastore holds ${others} keys that are not below ${neededPrefixes.join(", ")}`,
      remedy: "Delete them, or copy them yourself: only the cluster's own are moved.",
    },
  ];
}
