import type { Paths } from "../../host/paths.ts";
import { exists } from "../../lib/read-file.ts";
import { createJournal } from "../../node-db/journal.ts";
import { readNodeDb } from "../../node-db/node-db.ts";
import type { Plan, Step } from "../../operations/plan.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";

/** What this node made on its machine when it came into its cluster, and has not taken back since. */
export interface Made {
  readonly paths: Paths;
  /** False: it runs none of the Kubernetes programs. */
  readonly kubernetes: boolean;
  readonly files: readonly string[];
  /** Parents first. */
  readonly directories: readonly string[];
}

/**
 * Reads it from the node's journal, which a daemon need not run for. Undefined: nothing on this machine is this node's, as
 * before it came into a cluster and after it left one.
 */
export async function readMade(nodeDb: string): Promise<Made | undefined> {
  if (!(await exists(nodeDb))) return undefined;
  using db = readNodeDb(nodeDb);
  const journal = createJournal(db, () => 0);
  const cameIn = ["bootstrap", "join"];
  const [operation = journal.newest(cameIn)] = journal.unfinished().filter(({ kind }) => cameIn.includes(kind));
  if (operation === undefined) return undefined;
  const { view, kubernetes } = (JSON.parse(operation.plan) as Plan<Step>).input as BootstrapInput;
  const notes = journal
    .steps(operation.id)
    .filter(({ state }) => state !== "undone")
    .map(({ note }) => JSON.parse(note ?? "{}") as Partial<Pick<Made, "files" | "directories">>);
  return {
    paths: view.paths,
    kubernetes,
    files: notes.flatMap(({ files = [] }) => files),
    directories: notes.flatMap(({ directories = [] }) => directories),
  };
}
