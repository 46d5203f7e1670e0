import type { Json, Plan } from "../../operations/plan.ts";
import { type BootstrapInput, datastoreService } from "../bootstrap/plan.ts";

/** Its data lies on the nodes of the cluster. */
export type ManagedEngine = "sqlite" | "etcd";
/** Programs of the nodes serve it, at one address. */
export type MovableEngine = ManagedEngine | "postgres";

export interface MigrateInput {
  readonly nodeId: string;
  readonly clusterId: string;
  /** The node with the engine that it leaves, and with the one that it gets. */
  readonly before: BootstrapInput;
  readonly after: BootstrapInput;
  /** Free ports of loopback, where an engine listens while kube-apiserver must not reach it. */
  readonly ports: { readonly source: number; readonly target: number };
}

interface Bare<K extends string> {
  readonly kind: K;
  readonly title: string;
  readonly args: null;
}

export type MigrateStep =
  | Bare<"set-up-target">
  | Bare<"copy-data">
  | Bare<"pause-writes">
  | Bare<"finish-copy">
  | Bare<"stop-engines">
  | Bare<"try-engine">
  | Bare<"commit-engine">
  | Bare<"keep-access">
  | Bare<"start-engine">
  | Bare<"resume-member">
  | Bare<"await-api-server">
  | Bare<"remove-source">;

/**
 * The data of a cluster moves to another engine on its only control plane. Both engines serve the same address, one after
 * the other, so nothing that uses the datastore is started again.
 *
 * `commit-engine` is the point of no return, and stands before the new engine can be written to: until then nobody but the
 * copy has written to it, and all of it is taken back; from then on nobody can write to the old one any more, and it is gone
 * on with until it works. What would keep the new one from starting is found before, by a start that lets nobody in. So there is no moment at which two engines take writes, and none at which a write is lost.
 */
export function planMigrate(input: MigrateInput, result: Json, requestId: string): Plan<MigrateStep> {
  const { before, after } = input;
  const [from, to] = [before, after].map(({ view }) =>
    view.datastore.engine === "postgres" ? "PostgreSQL" : (datastoreService(view) ?? ""),
  );
  const inDatabase = [before, after].map(({ view }) => view.datastore.engine === "postgres");
  const steps: MigrateStep[] = [
    { kind: "set-up-target", title: `Start an empty ${to} beside ${from}`, args: null },
    { kind: "copy-data", title: "Copy the data while the cluster works", args: null },
    { kind: "pause-writes", title: "Pause writes", args: null },
    { kind: "finish-copy", title: "Copy the last changes and compare everything", args: null },
    { kind: "stop-engines", title: `Stop ${datastoreService(before.view)}`, args: null },
    { kind: "try-engine", title: `Try ${datastoreService(after.view)} in its place, closed to all`, args: null },
    { kind: "commit-engine", title: `Keep the data in ${to} from now on`, args: null },
    ...(inDatabase.includes(true)
      ? [{ kind: "keep-access", title: "Seal what opens the datastore", args: null } as const]
      : []),
    { kind: "start-engine", title: `Start ${datastoreService(after.view)} in its place`, args: null },
    { kind: "resume-member", title: "Take up work again", args: null },
    ...(before.kubernetes ? [{ kind: "await-api-server", title: "Wait for kube-apiserver", args: null } as const] : []),
    {
      kind: "remove-source",
      title: inDatabase[0] ? "Leave the database to its owner" : `Remove ${from} and its data`,
      args: null,
    },
  ];
  return {
    operation: "migrate",
    requestId,
    // Plain data; its type is wider than Json only by optional keys.
    input: input as unknown as Json,
    steps,
    commit: steps.findIndex(({ kind }) => kind === "commit-engine"),
    result,
  };
}
