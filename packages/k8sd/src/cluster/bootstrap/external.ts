import type { NodeView } from "../../components/component.ts";
import { externalProblems, neededPrefixes } from "../../datastore/check-external.ts";
import { databaseProblems } from "../../datastore/check-postgres.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import type { Conflict } from "../../host/host.ts";
import type { SuppliedPki } from "../../pki/supplied.ts";
import { tlsOf } from "../connections.ts";
import { createLedger } from "../ledger.ts";
import type { BootstrapInput } from "./plan.ts";

/** A cluster that was just begun has some thousand keys. */
const forgetMs = 30_000;

/** Why a new cluster cannot live in the datastore that the user gave. */
export async function externalConflicts(
  { datastore }: NodeView,
  supplied: SuppliedPki,
  signal: AbortSignal,
): Promise<readonly Conflict[]> {
  if (datastore.engine === "postgres") {
    const problems = await databaseProblems(supplied["datastore-url"] ?? "", signal);
    return problems.map((problem) => ({ field: "datastore-servers", ...problem }));
  }
  if (datastore.engine !== "external") return [];
  const problems = await externalProblems({ endpoints: datastore.endpoints, tls: tlsOf(supplied) }, signal);
  return problems.map((problem) => ({ field: "datastore-servers", ...problem }));
}

/**
 * Takes back a cluster that was begun in the user's datastore, where nothing was of the kind before it. Another's is left alone,
 * and so is one that has or had other members: then this node only leaves it.
 */
export async function forgetCluster(
  datastore: Datastore,
  { clusterId, nodeId }: Pick<BootstrapInput, "clusterId" | "nodeId">,
  signal: AbortSignal,
): Promise<void> {
  const ledger = createLedger(datastore);
  const [cluster, members] = await Promise.all([ledger.cluster(signal), ledger.members(signal)]);
  const alone = members.every(({ id, state }) => id === nodeId && state === "active");
  if (cluster?.id !== clusterId || !alone) return;
  await datastore.txn(
    { success: neededPrefixes.map((prefix) => ({ op: "delete", range: { prefix } })) },
    { signal, timeoutMs: forgetMs },
  );
}
