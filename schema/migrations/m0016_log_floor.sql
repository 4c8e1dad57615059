-- The largest number of an author's batch that is no longer in the log. A batch up to it was pruned, or this node got the state
-- instead; an applied batch above it that is not in the log is damage.
ALTER TABLE clinicsync_origin ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;
