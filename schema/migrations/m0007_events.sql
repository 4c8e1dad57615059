-- The log of events: the newest events of this node, in the order of their positions. Programs may ask for them again. Local to
-- this file. An event of a change has `tableId`, `operation` (0 insert, 1 update, 2 delete), `pk` as text (NULL when the event
-- stands for `rows` rows), `slots` (the changed columns as bits), `isLocal`, and `origin` and `sequence` of its batch (NULL for
-- a repair). Any other event has `type`, `category` and `fields` (JSON). `userId`: the user that the event concerns.
CREATE TABLE clinicsync_event (
    position  INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL,
    tableId   INTEGER,
    operation INTEGER,
    pk        TEXT,
    slots     INTEGER,
    rows      INTEGER,
    isLocal   INTEGER,
    origin    INTEGER,
    sequence  INTEGER,
    userId    TEXT,
    type      TEXT,
    category  TEXT,
    fields    TEXT
);
