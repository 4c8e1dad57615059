-- The state of a deleted or hidden row has several hundred bytes. Of a row of a table WITHOUT ROWID SQLite keeps a quarter of a page
-- in the tree, and the rest in pages of its own: each deleted row had a page of 2 kB for itself. Ordinary tables keep up to a page
-- of each row in the tree. Nothing is renamed, because SQLite would refuse that beside a broken view or trigger of a program.
CREATE TABLE clinicsync_before AS SELECT * FROM clinicsync_tombstone;
DROP TABLE clinicsync_tombstone;
CREATE TABLE clinicsync_tombstone (
    tableId   INTEGER NOT NULL,
    pk                NOT NULL,
    timestamp INTEGER NOT NULL,
    state     BLOB    NOT NULL,
    context   INTEGER NOT NULL,
    PRIMARY KEY (tableId, pk)
);
INSERT INTO clinicsync_tombstone (tableId, pk, timestamp, state, context)
SELECT tableId, pk, timestamp, state, context FROM clinicsync_before;
DROP TABLE clinicsync_before;

CREATE TABLE clinicsync_before AS SELECT * FROM clinicsync_shadow;
DROP TABLE clinicsync_shadow;
CREATE TABLE clinicsync_shadow (
    tableId INTEGER NOT NULL,
    pk              NOT NULL,
    form    INTEGER NOT NULL,
    state   BLOB    NOT NULL,
    context INTEGER,
    PRIMARY KEY (tableId, pk)
);
INSERT INTO clinicsync_shadow (tableId, pk, form, state, context)
SELECT tableId, pk, form, state, context FROM clinicsync_before;
DROP TABLE clinicsync_before;
