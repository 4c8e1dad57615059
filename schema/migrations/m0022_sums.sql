-- Counts and sums of the states of rows that their tables do not show as they are. `kind` 0: own states of hidden rows, and of
-- rows that show another form (clinicsync_shadow). 1: deleted rows (clinicsync_tombstone). A sum that is missing is not known yet.
CREATE TABLE clinicsync_sum (
    tableId INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    rows    INTEGER NOT NULL,
    high    INTEGER NOT NULL,
    low     INTEGER NOT NULL,
    PRIMARY KEY (tableId, kind)
) WITHOUT ROWID;
