-- The conflict journal of the clinic. Both tables are replicated; programs may read them, and what they write there is
-- no more than a wrong entry or a lost one. The entries of `clinicsync_journal`, which was each PC's own, are moved here by the node
-- when it opens the file; it drops that table then.

-- What could not be shown: one row for each value that lost, key that was renamed, row that was hidden or kept. Every node derives
-- the same rows from what it knows, under the genesis version; no batch is made of them. `id`: a hash of everything else, so
-- that equal ids are equal rows. `origin`, `sequence`, `timestamp`: the version of what lost. `recordId`, `value` and
-- `relatedId` have no declared type, so that they are kept bit for bit.
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

-- Which entries a person dealt with. `kept`: 'current' or 'other'. `resolvedAt`: corrected milliseconds since 1970. `node`: where.
CREATE TABLE clinicsync_resolution (
    id TEXT PRIMARY KEY NOT NULL,
    kept TEXT,
    resolvedAt INTEGER,
    node TEXT
);
