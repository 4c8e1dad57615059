-- The conflict journal of the clinic. Both tables are replicated. Programs may read them; a program that writes them can only
-- make a wrong entry or lose an entry. `clinicsync_journal` was local to each PC. When the node opens the file, it moves the
-- entries of that table here and drops the table.

-- The entries: one row for each lost value, each renamed key, and each hidden or kept row. Every node derives the same rows from
-- the same changes, under the genesis version, and makes no batch of them. `id`: a hash of all other columns, so that equal ids
-- are equal rows. `origin`, `sequence`, `timestamp`: the version of the lost value. `recordId`, `value` and `relatedId` have no
-- declared type, so that they are kept bit for bit.
CREATE TABLE clinicsync_conflict (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT,
    tableName TEXT,
    recordId,
    columnName TEXT,
    value,
    origin TEXT,
    sequence INTEGER,
    timestamp INTEGER,
    relatedTable TEXT,
    relatedId
);
CREATE INDEX clinicsync_conflict_row ON clinicsync_conflict (tableName, recordId);

-- The entries that a person settled. `kept`: 'current' or 'other'. `resolvedAt`: corrected milliseconds since 1970. `node`: the
-- id of the node on which the person settled the entry.
CREATE TABLE clinicsync_resolution (
    id TEXT PRIMARY KEY NOT NULL,
    kept TEXT,
    resolvedAt INTEGER,
    node TEXT
);
