import type { DatastoreMember, DatastoreReport, OperationEvent, SealKeyState } from "@k8sd/api-types";
import type { NodeView } from "../../components/component.ts";
import type { Datastore, Member } from "../../datastore/datastore.ts";
import { createMemberCalls } from "../../datastore/etcd-members-calls.ts";
import { memberStates } from "../../datastore/member-states.ts";
import { ifTold, revisionSeen } from "../../datastore/told.ts";
import { errorText } from "../../lib/app-error.ts";
import { withDeadline } from "../../lib/wait.ts";
import type { Journal } from "../../node-db/journal.ts";
import type { Runner } from "../../operations/runner.ts";
import { datastoreOptions } from "../connections.ts";
import { type Defragmented, readDefragmented } from "../defragmented.ts";
import { engineName } from "../engine-name.ts";
import type { Notice } from "../notices.ts";
import type { Self } from "../recover/copies.ts";

export interface ReportDeps {
  readonly member: () => Self;
  readonly datastore: () => Promise<Datastore>;
  readonly journal: Pick<Journal, "unfinished">;
  readonly runner: Pick<Runner, "events">;
  readonly sealKey: { readonly state: (signal: AbortSignal) => Promise<SealKeyState | undefined> };
}

/** One that works answers within milliseconds. */
const answerMs = 3_000;

/** What holds the cluster's data, and how it is. */
export async function datastoreReport(deps: ReportDeps, signal: AbortSignal): Promise<DatastoreReport> {
  const { view, config } = deps.member().view;
  const { datastore } = view;
  const engine = engineName({ view, config });
  const endpoints = datastore.engine === "postgres" ? [datastore.server] : datastore.endpoints;
  const migration = migrationUnderWay(deps)?.at(-1);
  const known = { engine, endpoints: [...endpoints], ...(migration === undefined ? {} : { migration }) };
  try {
    const store = await deps.datastore();
    const call = { signal, timeoutMs: answerMs };
    const soon = withDeadline(signal, answerMs);
    const [status, members, sealKey] = await Promise.all([
      ifTold(store.status(call)),
      engine === "external"
        ? membersOf((await ifTold(store.memberList(call))) ?? [])
        : managedMembers(view, store, signal),
      // Without a quorum nobody can tell.
      deps.sealKey.state(soon).catch(() => undefined),
    ]);
    return {
      ...known,
      ...(sealKey === undefined ? {} : { "seal-key": sealKey }),
      ...(status === undefined
        ? { revision: await revisionSeen(store, soon) }
        : {
            version: status.version,
            revision: status.revision,
            size: status.dbSize,
            "size-in-use": status.dbSizeInUse,
          }),
      alarms: [...(status?.errors ?? [])],
      members: [...members],
    };
  } catch (error) {
    signal.throwIfAborted();
    const problem = moving(deps)?.message ?? errorText(error);
    return { ...known, problem, alarms: [], members: [] };
  }
}

const membersOf = (members: readonly Member[]): DatastoreMember[] =>
  members.map(({ name, clientUrls, isLearner }) => ({
    name,
    address: clientUrls.join(","),
    role: isLearner ? "learner" : "voter",
  }));

async function managedMembers(view: NodeView, store: Datastore, signal: AbortSignal): Promise<DatastoreMember[]> {
  const calls = createMemberCalls(await datastoreOptions(view));
  try {
    const [states, defragmented] = await Promise.all([
      memberStates(calls, answerMs, signal),
      readDefragmented(store, withDeadline(signal, answerMs)).catch((): Defragmented => ({})),
    ]);
    return states.flatMap(({ member, inUse, leads, alarms, ...state }) => {
      const at = defragmented[member.name];
      return membersOf([member]).map((known) => ({
        ...known,
        ...state,
        alarms: [...alarms],
        ...(leads === undefined ? {} : { leader: leads }),
        ...(inUse === undefined ? {} : { "size-in-use": inUse }),
        ...(at === undefined ? {} : { "last-defragmented": new Date(at).toISOString() }),
      }));
    });
  } finally {
    calls.close();
  }
}

/** Of a migration under way, for the node's status. */
export function moving(deps: Pick<ReportDeps, "journal" | "runner">): Notice | undefined {
  const events = migrationUnderWay(deps);
  if (events === undefined) return undefined;
  const last = events.at(-1);
  const failure = events.findLast(({ state }) => state === "failed");
  const stands = failure !== undefined && last?.step === failure.step && ["failed", "started"].includes(last.state);
  if (!stands) return { reason: "Moving", message: "it is moving, and answers again in a moment" };
  const { title, note = "its reason is in the log" } = failure;
  return {
    reason: "Standing",
    message: `it is moving, and cannot go on at "${title}": ${note}. k8sd tries again until it works: remove the reason`,
  };
}

/** What a migration told so far that is under way on this node; of the progress within steps the last. */
export function migrationUnderWay({ journal, runner }: Pick<ReportDeps, "journal" | "runner">) {
  const operation = journal.unfinished().find(({ kind }) => kind === "migrate");
  return operation === undefined ? undefined : brief(runner.events(operation.id));
}

export function brief(events: readonly OperationEvent[]): readonly OperationEvent[] {
  return events.filter(({ state }, index) => state !== "progress" || index === events.length - 1);
}
