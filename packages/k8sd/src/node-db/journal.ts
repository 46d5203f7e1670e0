import type { NodeDb } from "./node-db.ts";

export type OperationState = "running" | "undoing" | "done" | "undone";
export type StepState = "started" | "done" | "undoing" | "undone";

export interface JournaledOperation {
  readonly id: string;
  readonly requestId: string;
  readonly kind: string;
  /** The plan as JSON text; the journal does not look into it. */
  readonly plan: string;
  readonly state: OperationState;
  readonly error: string | undefined;
  readonly result: string | undefined;
  readonly createdAt: number;
  readonly finishedAt: number | undefined;
}

export interface JournaledStep {
  readonly step: number;
  readonly state: StepState;
  readonly note: string | undefined;
  /** How long its run or its undo took, or has been going on when it was last heard of. */
  readonly elapsedMs: number;
}

/** Durable record of operations. Every call has reached the disk when it returns. */
export interface Journal {
  begin(operation: { id: string; requestId: string; kind: string; plan: string; secret: string | undefined }): void;
  byId(id: string): JournaledOperation | undefined;
  byRequest(requestId: string): JournaledOperation | undefined;
  /** Running or undoing: the ones to finish after a restart. */
  unfinished(): readonly JournaledOperation[];
  latest(limit: number): readonly JournaledOperation[];
  /** Of these kinds, the one begun last that is done or being taken back. */
  newest(kinds: readonly string[]): JournaledOperation | undefined;
  steps(id: string): readonly JournaledStep[];
  step(id: string, step: number, state: StepState): void;
  note(id: string, step: number, note: string): void;
  /** Adds to the result; both are JSON objects. */
  add(id: string, result: string): void;
  /** Marks a step as done in one transaction with other writes to the same database. */
  commit(id: string, step: number, write: () => void): void;
  secret(id: string): string | undefined;
  undoing(id: string, error: string): void;
  /** Ends the operation and forgets its secrets. */
  finish(id: string, state: "done" | "undone", outcome: { result?: string; error?: string }): void;
}

interface OperationRow {
  id: string;
  request_id: string;
  kind: string;
  plan: string;
  state: OperationState;
  error: string | null;
  result: string | null;
  created_at: number;
  finished_at: number | null;
}

const fromRow = (row: OperationRow): JournaledOperation => ({
  id: row.id,
  requestId: row.request_id,
  kind: row.kind,
  plan: row.plan,
  state: row.state,
  error: row.error ?? undefined,
  result: row.result ?? undefined,
  createdAt: row.created_at,
  finishedAt: row.finished_at ?? undefined,
});

/**
 * Finished operations that are kept, so that a caller who lost the connection still finds the outcome. What made the node a
 * member is kept for good: a leave takes it back.
 */
const keptOperations = 200;

export function createJournal(db: NodeDb, now: () => number): Journal {
  const insert = db.prepare(
    "INSERT INTO operation (id, request_id, kind, plan, state, created_at) VALUES (?, ?, ?, ?, 'running', ?)",
  );
  const insertSecret = db.prepare("INSERT INTO operation_secret (operation_id, value) VALUES (?, ?)");
  const byId = db.prepare<[string], OperationRow>("SELECT * FROM operation WHERE id = ?");
  const byRequest = db.prepare<[string], OperationRow>("SELECT * FROM operation WHERE request_id = ?");
  const unfinished = db.prepare<[], OperationRow>(
    "SELECT * FROM operation WHERE state IN ('running', 'undoing') ORDER BY created_at, id",
  );
  const latest = db.prepare<[number], OperationRow>("SELECT * FROM operation ORDER BY created_at DESC, id LIMIT ?");
  const newest = db.prepare<[string], OperationRow>(
    `SELECT * FROM operation WHERE state IN ('done', 'undoing') AND kind IN (SELECT value FROM json_each(?))
       ORDER BY created_at DESC, id LIMIT 1`,
  );
  const steps = db.prepare<[string], { step: number; state: StepState; note: string | null; elapsed: number }>(
    "SELECT step, state, note, changed_at - began_at AS elapsed FROM operation_step WHERE operation_id = ? ORDER BY step",
  );
  const upsertStep = db.prepare(
    `INSERT INTO operation_step (operation_id, step, state, began_at, changed_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at,
       began_at = iif(excluded.state IN ('started', 'undoing'), excluded.began_at, began_at)`,
  );
  const addResult = db.prepare("UPDATE operation SET result = json_patch(coalesce(result, '{}'), ?) WHERE id = ?");
  const setNote = db.prepare("UPDATE operation_step SET note = ? WHERE operation_id = ? AND step = ?");
  const secret = db.prepare<[string], { value: string }>("SELECT value FROM operation_secret WHERE operation_id = ?");
  const forgetSecret = db.prepare("DELETE FROM operation_secret WHERE operation_id = ?");
  const setUndoing = db.prepare("UPDATE operation SET state = 'undoing', error = ? WHERE id = ?");
  const setFinished = db.prepare(
    "UPDATE operation SET state = ?, result = coalesce(?, result), error = coalesce(?, error), finished_at = ? WHERE id = ?",
  );
  const prune = db.prepare(
    `DELETE FROM operation WHERE state IN ('done', 'undone') AND id NOT IN
       (SELECT id FROM operation ORDER BY created_at DESC LIMIT ${keptOperations})
       AND NOT (state = 'done' AND kind IN ('bootstrap', 'join'))`,
  );

  return {
    begin: db.transaction((operation: Parameters<Journal["begin"]>[0]) => {
      insert.run(operation.id, operation.requestId, operation.kind, operation.plan, now());
      if (operation.secret !== undefined) insertSecret.run(operation.id, operation.secret);
    }),
    byId: (id) => {
      const row = byId.get(id);
      return row && fromRow(row);
    },
    byRequest: (requestId) => {
      const row = byRequest.get(requestId);
      return row && fromRow(row);
    },
    unfinished: () => unfinished.all().map(fromRow),
    latest: (limit) => latest.all(limit).map(fromRow),
    newest: (kinds) => {
      const row = newest.get(JSON.stringify(kinds));
      return row && fromRow(row);
    },
    steps: (id) =>
      steps
        .all(id)
        .map(({ step, state, note, elapsed }) => ({ step, state, note: note ?? undefined, elapsedMs: elapsed })),
    step: (id, step, state) => {
      upsertStep.run(id, step, state, now(), now());
    },
    note: (id, step, note) => {
      setNote.run(note, id, step);
    },
    add: (id, result) => {
      addResult.run(result, id);
    },
    commit: db.transaction((id: string, step: number, write: () => void) => {
      write();
      upsertStep.run(id, step, "done", now(), now());
    }),
    secret: (id) => secret.get(id)?.value,
    undoing: (id, error) => {
      setUndoing.run(error, id);
    },
    finish: db.transaction((id: string, state: "done" | "undone", outcome: { result?: string; error?: string }) => {
      setFinished.run(state, outcome.result ?? null, outcome.error ?? null, now(), id);
      forgetSecret.run(id);
      prune.run();
    }),
  };
}
