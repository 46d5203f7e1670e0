import type { NodeDb } from "./node-db.ts";

export interface AuditEntry {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  /** Who: `root`, `capi`, `node n2`. */
  readonly actor: string;
  /** What was tried: `join-token.reserve`. */
  readonly action: string;
  /** `ok`, or why not. */
  readonly outcome: string;
  /** From where and about what; never secrets. */
  readonly details: Readonly<Record<string, string | number>>;
}

/** What was done on this node with consequences for who may do what. */
export interface Audit {
  record(entry: Omit<AuditEntry, "at">): void;
  /** The newest first. */
  latest(limit: number): readonly AuditEntry[];
}

/** Of each action: so a flood of one kind cannot push out the others. Months of a busy cluster. */
const keptPerAction = 2_000;
/** How many may be there beyond that before they are looked for. */
const slack = 100;

interface Row extends Omit<AuditEntry, "details"> {
  readonly details: string;
}

export function createAudit(db: NodeDb, now: () => number): Audit {
  const insert = db.prepare("INSERT INTO audit (at, actor, action, outcome, details) VALUES (?, ?, ?, ?, ?)");
  const latest = db.prepare<[number], Row>(
    "SELECT at, actor, action, outcome, details FROM audit ORDER BY id DESC LIMIT ?",
  );
  const prune = db.prepare(
    `DELETE FROM audit WHERE action = ? AND id <=
       (SELECT id FROM audit WHERE action = ? ORDER BY id DESC LIMIT 1 OFFSET ${keptPerAction})`,
  );
  const sincePruned = new Map<string, number>();
  return {
    record: ({ actor, action, outcome, details }) => {
      insert.run(now(), actor, action, outcome, JSON.stringify(details));
      const count = (sincePruned.get(action) ?? slack) + 1;
      if (count > slack) prune.run(action, action);
      sincePruned.set(action, count > slack ? 0 : count);
    },
    latest: (limit) =>
      latest.all(limit).map((row) => ({ ...row, details: JSON.parse(row.details) as AuditEntry["details"] })),
  };
}
