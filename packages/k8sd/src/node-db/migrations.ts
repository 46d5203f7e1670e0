/** Forward only, applied in order; the number of a migration is its place. A released one is never changed. */
export const migrations: readonly string[] = [
  `
  -- Who this node is. One row, written by the commit of bootstrap or join and deleted when the node leaves.
  CREATE TABLE node (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    view TEXT NOT NULL,
    committed_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE operation (
    id TEXT PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    plan TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'undoing', 'done', 'undone')),
    error TEXT,
    result TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
  ) STRICT;
  CREATE INDEX operation_by_state ON operation (state);

  CREATE TABLE operation_step (
    operation_id TEXT NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('started', 'done', 'undoing', 'undone')),
    note TEXT,
    -- When the run or the undo began that the state is of.
    began_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (operation_id, step)
  ) STRICT;

  -- Input that the plan only refers to: keys, tokens. Gone when the operation ends.
  CREATE TABLE operation_secret (
    operation_id TEXT PRIMARY KEY REFERENCES operation (id) ON DELETE CASCADE,
    value TEXT NOT NULL
  ) STRICT;

  CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    details TEXT NOT NULL
  ) STRICT;
  `,
  `
  -- The members as this node last heard of them, as JSON.
  CREATE TABLE roster (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), members TEXT NOT NULL) STRICT;
  `,
  `
  -- This node's copy of the ledger: what its head's author has signed, and where its peers were found.
  CREATE TABLE replica_head (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    root BLOB NOT NULL,
    author TEXT NOT NULL,
    signature BLOB NOT NULL
  ) STRICT;

  CREATE TABLE replica_entry (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    revision INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE mesh_peer (
    id TEXT PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    addresses TEXT NOT NULL
  ) STRICT;
  `,
];
