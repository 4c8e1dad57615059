-- Batches of this node that no other node can have, because the node has met no other since it made them. Their stamps may
-- still be corrected if the PC's clock was wrong (docs/design/0006-clocks-and-clones.md). `origin`: this node's number in
-- clinicsync_origin. `clockOffset`: the milliseconds that were added to the PC's time. `floor`: the largest stamp of a
-- shared value that the batch replaced; a corrected stamp of this change must stay above.
CREATE TABLE clinicsync_unshared (
    origin      INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    clockOffset INTEGER NOT NULL,
    floor       INTEGER NOT NULL,
    PRIMARY KEY (origin, sequence)
) WITHOUT ROWID;
