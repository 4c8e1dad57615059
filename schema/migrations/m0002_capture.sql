-- The tables that the capture triggers read and write. The node generates the triggers from the tables
-- at its start (docs/design/0001-capture.md), because they depend on the tables' columns.
--
-- Every program that opens the file must be able to parse its schema. So these tables use nothing newer
-- than SQLite 3.35: CHECKs on storage classes replace STRICT (3.37).

-- The guard. The triggers do nothing while `applying` is 1. The node sets 1 inside its own write
-- transaction, and 0 before it commits. SQLite has one writer, so no other process ever sees 1, and a
-- crash rolls the value back.
CREATE TABLE clinicsync_guard (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    applying INTEGER NOT NULL DEFAULT 0 CHECK (applying IN (0, 1))
);
INSERT INTO clinicsync_guard(id, applying) VALUES (1, 0);

-- The marks: rows that may have changed since the last collection. `tableId` is clinicsync_table.id.
-- `pk` is the row's key as it is stored (no declared type, so bit for bit). `writtenAt` is the PC's own
-- time of the last write, in milliseconds since 1970. `n` is the number of writes: a mark that is made
-- again while the node reads has another `n`, and survives.
CREATE TABLE clinicsync_dirty (
    tableId INTEGER NOT NULL,
    pk NOT NULL,
    writtenAt INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (tableId, pk)
) WITHOUT ROWID;

-- The numbers of the replicated tables and of their columns, which never change. `columns` is a JSON
-- array of names, in which a column's index is its *slot*. A new column is appended, whatever its place
-- in the DDL. A dropped column keeps its slot. Local to this file: nodes exchange names.
CREATE TABLE clinicsync_table (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (typeof(name) = 'text'),
    columns TEXT NOT NULL CHECK (typeof(columns) = 'text')
);
