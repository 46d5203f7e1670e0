import type { DatastoreReport } from "@k8sd/api-types";
import type { Datastore } from "../../datastore/datastore.ts";
import { errorText } from "../../lib/app-error.ts";
import type { Journal } from "../../node-db/journal.ts";
import type { Runner } from "../../operations/runner.ts";
import type { Self } from "../recover/copies.ts";

export interface ReportDeps {
  readonly member: () => Self;
  readonly datastore: () => Promise<Datastore>;
  readonly journal: Pick<Journal, "unfinished">;
  readonly runner: Pick<Runner, "events">;
}

/** One that works answers within milliseconds. */
const answerMs = 3_000;

/** What holds the cluster's data, and how it is. */
export async function datastoreReport(deps: ReportDeps, signal: AbortSignal): Promise<DatastoreReport> {
  const { view } = deps.member().view;
  const { engine, endpoints } = view.datastore;
  const migration = migrationUnderWay(deps);
  const known = { engine, endpoints: [...endpoints], ...(migration === undefined ? {} : { migration }) };
  try {
    const store = await deps.datastore();
    const call = { signal, timeoutMs: answerMs };
    const [status, members] = await Promise.all([store.status(call), store.memberList(call)]);
    return {
      ...known,
      version: status.version,
      revision: status.revision,
      size: status.dbSize,
      "size-in-use": status.dbSizeInUse,
      alarms: [...status.errors],
      members: members.map(({ name, clientUrls, isLearner }) => ({
        name,
        address: clientUrls.join(","),
        role: isLearner ? "learner" : "voter",
      })),
    };
  } catch (error) {
    signal.throwIfAborted();
    return { ...known, problem: errorText(error), alarms: [], members: [] };
  }
}

/** The last that a migration told which is under way on this node. */
export function migrationUnderWay({ journal, runner }: Pick<ReportDeps, "journal" | "runner">) {
  const operation = journal.unfinished().find(({ kind }) => kind === "migrate");
  return operation === undefined ? undefined : runner.events(operation.id).at(-1);
}
