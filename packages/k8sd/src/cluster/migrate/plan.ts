import type { NodeView } from "../../components/component.ts";
import type { Bare, Json, Plan } from "../../operations/plan.ts";
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
  | Bare<"switch-clients">
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
  const [from, to] = [before, after].map(({ view }) => nameOf(view));
  const engines = [before, after].map(({ view }) => view.datastore.engine);
  const out = movesOut(input);
  const apart = out || movesIn(input);
  const steps: MigrateStep[] = [
    bare("set-up-target", out ? `Claim ${to} for this cluster` : `Start an empty ${to} beside ${from}`),
    bare("copy-data", "Copy the data while the cluster works"),
    bare("pause-writes", "Pause writes"),
    bare("finish-copy", "Copy the last changes and compare everything"),
    bare("stop-engines", `Stop ${datastoreService(before.view) ?? datastoreService(after.view)}`),
    ...(out ? [] : [bare("try-engine", `Try ${datastoreService(after.view)} in its place, closed to all`)]),
    bare("commit-engine", `Keep the data in ${to} from now on`),
    ...(apart || engines.includes("postgres") ? [bare("keep-access", "Seal what opens the datastore")] : []),
    ...(out ? [] : [bare("start-engine", `Start ${datastoreService(after.view)} in its place`)]),
    ...(apart
      ? [bare("switch-clients", before.kubernetes ? `Start kube-apiserver on ${to}` : `Let ${to} be used`)]
      : []),
    bare("resume-member", "Take up work again"),
    ...(before.kubernetes && !apart ? [bare("await-api-server", "Wait for kube-apiserver")] : []),
    bare("remove-source", removal(before.view)),
  ];
  return {
    operation: "migrate",
    requestId,
    input,
    steps,
    commit: steps.findIndex(({ kind }) => kind === "commit-engine"),
    result,
  };
}

const bare = <K extends MigrateStep["kind"]>(kind: K, title: string): Bare<K> => ({ kind, title, args: null });

function nameOf(view: NodeView): string {
  const { engine } = view.datastore;
  if (engine === "postgres") return "PostgreSQL";
  return engine === "external" ? "the external etcd" : (datastoreService(view) ?? "");
}

function removal(view: NodeView): string {
  const { engine } = view.datastore;
  if (engine === "postgres") return "Leave the database to its owner";
  return engine === "external" ? "Leave the external etcd to its owner" : `Remove ${nameOf(view)} and its data`;
}

/** It goes to an etcd of somebody else, or comes from one: kube-apiserver has to be started anew, at another address. */
export const movesOut = ({ after }: Pick<MigrateInput, "after">): boolean => after.view.datastore.engine === "external";
export const movesIn = ({ before }: Pick<MigrateInput, "before">): boolean =>
  before.view.datastore.engine === "external";
