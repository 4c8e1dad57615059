-- What programs were told of and may ask for again: the newest events of this node, in the order of their positions. Belongs to
-- this file alone. A change of a row has `tableId`, `operation` (0 insert, 1 update, 2 delete), `pk` as text (NULL when the event
-- stands for `rows` rows), `slots` (the changed columns by bits), `isLocal`, and `origin` and `sequence` of its batch (NULL for
-- a repair). Any other event has `type`, `category` and `fields` (JSON). `userId`: the user it is about.
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
