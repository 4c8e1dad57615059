-- What a destructive migration needs to wait for all nodes: the newest migration that the node's program has, and the day on which
-- the program last ran (milliseconds since 1970).
ALTER TABLE clinicsync_node ADD COLUMN schemaVersion INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clinicsync_node ADD COLUMN aliveAt INTEGER NOT NULL DEFAULT 0;

-- Details of the notes in clinicsync_waiting whose tableId is 0, by their pk: which columns of which batch or row the program
-- did not know, and what the batch's author had seen. An updated program reads these changes again.
CREATE TABLE clinicsync_unread (
    pk             NOT NULL,
    detail BLOB NOT NULL,
    PRIMARY KEY (pk)
) WITHOUT ROWID;
-- A note without such a detail cannot be read again: its row comes by reconciliation.
DELETE FROM clinicsync_waiting WHERE tableId = 0;
