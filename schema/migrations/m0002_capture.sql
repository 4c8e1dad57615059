-- What the capture triggers write, and what they need to know. The triggers themselves are generated
-- from the tables at start (docs/design/0001-capture.md), because they follow the tables' columns.
--
-- Every program that opens the file must be able to parse its schema, so these tables use nothing
-- newer than SQLite 3.35 either: CHECKs on storage classes stand where STRICT (3.37) would.

-- Whether the node itself is writing. The triggers do nothing while `applying` is 1. The node sets it
-- inside its own write transaction and back before it commits: SQLite has one writer, so no other
-- process ever sees 1, and a crash rolls it back.
CREATE TABLE clinicsync_guard (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    applying INTEGER NOT NULL DEFAULT 0 CHECK (applying IN (0, 1))
);
INSERT INTO clinicsync_guard(id, applying) VALUES (1, 0);

-- The rows that may have changed since the node last looked. `tableId` is clinicsync_table.id, `pk` the
-- row's key as it is stored (no declared type: bit for bit), `writtenAt` the PC's own milliseconds
-- since 1970 at the last write, `n` the number of writes: a mark that was made again while the node
-- was reading has another `n` and survives.
CREATE TABLE clinicsync_dirty (
    tableId INTEGER NOT NULL,
    pk NOT NULL,
    writtenAt INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (tableId, pk)
) WITHOUT ROWID;

-- The numbers of the replicated tables and of their columns, given once and never again: `columns` is a
-- JSON array of names in which a column's index is its *slot*. A new column is appended, whatever its
-- place in the DDL; a column that went keeps its slot. Local to this file: nodes exchange names.
CREATE TABLE clinicsync_table (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (typeof(name) = 'text'),
    columns TEXT NOT NULL CHECK (typeof(columns) = 'text')
);
