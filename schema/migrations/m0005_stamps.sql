-- Batches of this node that nobody else can have, because it has met nobody since it made them: their stamps may still be
-- corrected when it turns out that the PC's clock was wrong (docs/design/0006-clocks-and-clones.md). `origin`: the node's own
-- number. `clockOffset`: what was added to the PC's time, in milliseconds. `floor`: the largest stamp of a shared value that
-- the batch replaced; what replaced it must stay above.
CREATE TABLE clinicsync_unshared (
    origin      INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    clockOffset INTEGER NOT NULL,
    floor       INTEGER NOT NULL,
    PRIMARY KEY (origin, sequence)
) WITHOUT ROWID;
