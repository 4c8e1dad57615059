-- The state that another node gives this one in place of history (docs/design/0024-state-transfer.md). Its pages wait in
-- clinicsync_stage until all are there; then one transaction merges and removes them. `tableName` is empty for the authors.
CREATE TABLE clinicsync_stage (
    number    INTEGER PRIMARY KEY,
    tableName TEXT    NOT NULL,
    checksum  INTEGER NOT NULL,
    payload   BLOB    NOT NULL
);

-- How far that is, one row at most. `vector`: what the sender had applied at the beginning. `through`: what no page is newer
-- than, once all pages are there. `tableName`, `pk`: the place behind the last page; pk is NULL behind a whole table.
CREATE TABLE clinicsync_transfer (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    vector     BLOB    NOT NULL,
    through    BLOB,
    tableName  TEXT    NOT NULL,
    pk,
    rows       INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    progressAt INTEGER NOT NULL
);

-- Peers that are given this node's state: the log keeps what is beyond `vector` for a day after `since` (milliseconds since 1970).
CREATE TABLE clinicsync_pin (
    peer   BLOB    PRIMARY KEY NOT NULL,
    vector BLOB    NOT NULL,
    since  INTEGER NOT NULL
) WITHOUT ROWID;
