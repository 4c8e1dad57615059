-- The node's own bookkeeping: the versions of values, the change log, and what could not be shown.
-- Programs never write these tables. None is STRICT, so that programs with SQLite 3.35 can open the file.

-- Authors of changes, each with a small number. `sequence`: all batches up to this number are applied (the
-- version vector). `seen`: what the author had applied when it made the newest of these batches. `timestamp`: the
-- author's largest stamp in this file.
CREATE TABLE clinicsync_origin (
    id          INTEGER PRIMARY KEY,
    node        BLOB    NOT NULL,
    incarnation INTEGER NOT NULL,
    sequence    INTEGER NOT NULL DEFAULT 0,
    seen        BLOB    NOT NULL DEFAULT x'',
    timestamp   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (node, incarnation)
);
INSERT INTO clinicsync_origin (id, node, incarnation)
VALUES (0, x'00000000000000000000000000000000', 0);

-- One row for each visible row of a replicated table. `timestamp`, `origin`, `sequence`: the newest insertion, which is
-- also the version of every column that `registers` does not name. `hash`: the row's 128-bit hash. `columns`: a 32-bit
-- hash for each column, which tells an edit from a rewrite of the same values. `context`: deletions that the row survived.
CREATE TABLE clinicsync_row (
    tableId   INTEGER NOT NULL,
    pk                NOT NULL,
    timestamp INTEGER NOT NULL,
    origin    INTEGER NOT NULL,
    sequence  INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    columns   BLOB    NOT NULL,
    registers BLOB,
    context   INTEGER,
    PRIMARY KEY (tableId, pk)
) WITHOUT ROWID;

-- The tombstones: deleted rows with their last values, because a concurrent edit may bring a row back.
CREATE TABLE clinicsync_tombstone (
    tableId   INTEGER NOT NULL,
    pk                NOT NULL,
    timestamp INTEGER NOT NULL,
    state     BLOB    NOT NULL,
    context   INTEGER NOT NULL,
    PRIMARY KEY (tableId, pk)
) WITHOUT ROWID;

-- Version vectors: what deleters had seen. Deletions of one batch share a row.
CREATE TABLE clinicsync_context (
    id     INTEGER PRIMARY KEY,
    hash   INTEGER NOT NULL UNIQUE,
    vector BLOB    NOT NULL
);

-- The change log: chunks of batches as they were made or received, byte for byte, in a causal order. A batch is applied
-- if its number is not above its author's clinicsync_origin.sequence. Until then its chunks are staged here.
CREATE TABLE clinicsync_log (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    origin   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    chunk    INTEGER NOT NULL,
    isLast   INTEGER NOT NULL,
    header   BLOB,
    checksum INTEGER NOT NULL,
    storedAt INTEGER NOT NULL,
    payload  BLOB    NOT NULL
);
CREATE UNIQUE INDEX clinicsync_log_batch ON clinicsync_log (origin, sequence, chunk, isLast);

-- Counts and digests of the replicated tables. Every change updates them.
CREATE TABLE clinicsync_digest (
    tableId INTEGER PRIMARY KEY,
    rows    INTEGER NOT NULL,
    high    INTEGER NOT NULL,
    low     INTEGER NOT NULL
);

-- Counter columns: one total for each origin; the column shows their sum.
CREATE TABLE clinicsync_counter (
    tableId  INTEGER NOT NULL,
    pk               NOT NULL,
    slot     INTEGER NOT NULL,
    origin   INTEGER NOT NULL,
    total    INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (tableId, pk, slot, origin)
) WITHOUT ROWID;

-- Rows whose merged state the table's constraints refuse, with the reason. The node retries them after each change.
CREATE TABLE clinicsync_waiting (
    tableId INTEGER NOT NULL,
    pk              NOT NULL,
    state   BLOB    NOT NULL,
    reason  TEXT    NOT NULL,
    since   INTEGER NOT NULL,
    context INTEGER,
    PRIMARY KEY (tableId, pk)
) WITHOUT ROWID;

-- Values that lost to concurrent values. One row for each write of a column that lost.
CREATE TABLE clinicsync_journal (
    id         INTEGER PRIMARY KEY,
    tableId    INTEGER NOT NULL,
    pk                 NOT NULL,
    slot       INTEGER NOT NULL,
    value,
    timestamp  INTEGER NOT NULL,
    origin     INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    winnerTimestamp INTEGER NOT NULL,
    winnerOrigin    INTEGER NOT NULL,
    winnerSequence  INTEGER NOT NULL,
    recordedAt INTEGER NOT NULL,
    UNIQUE (tableId, pk, slot, origin, sequence, timestamp)
);

-- Members, and what each has applied.
CREATE TABLE clinicsync_member (
    node   BLOB PRIMARY KEY NOT NULL,
    vector BLOB    NOT NULL,
    seenAt INTEGER NOT NULL
) WITHOUT ROWID;

-- Open join codes, by the SHA-256 of their secret.
CREATE TABLE clinicsync_invitation (
    secretHash BLOB PRIMARY KEY NOT NULL,
    expiresAt  INTEGER NOT NULL,
    uses       INTEGER NOT NULL
) WITHOUT ROWID;

-- Settings of this file alone, such as the id of its node.
CREATE TABLE clinicsync_setting (
    name  TEXT PRIMARY KEY NOT NULL,
    value NOT NULL
) WITHOUT ROWID;
