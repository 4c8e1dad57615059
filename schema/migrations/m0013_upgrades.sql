-- What the nodes tell each other so that a migration that removes something can wait for all of them: the newest
-- migration that the node's program has, and the day (milliseconds since 1970) on which it last ran.
ALTER TABLE clinicsync_node ADD COLUMN schemaVersion INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clinicsync_node ADD COLUMN aliveAt INTEGER NOT NULL DEFAULT 0;

-- What belongs to the notes in clinicsync_waiting whose tableId is 0, by their pk: which columns of which batch or row
-- the program did not know, and what the batch's author had seen. Read again when the program was updated.
CREATE TABLE clinicsync_unread (
    pk             NOT NULL,
    detail BLOB NOT NULL,
    PRIMARY KEY (pk)
) WITHOUT ROWID;
-- Notes without such a detail cannot be read again: those rows come by reconciliation.
DELETE FROM clinicsync_waiting WHERE tableId = 0;
