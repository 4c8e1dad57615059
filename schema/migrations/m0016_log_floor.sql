-- The largest number of an author's batch that is no longer in the log. A batch up to it was pruned, or this node got the state
-- instead; an applied batch above it that is not in the log is damage.
ALTER TABLE clinicsync_origin ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;

-- What every active member has, as a host last found it: one row, with the id 'clinic'. `vector`: the batches; every node's log may
-- lose them. `at`: when (milliseconds since 1970), and `host`: who found it.
CREATE TABLE clinicsync_horizon (
    id     TEXT PRIMARY KEY NOT NULL,
    vector BLOB,
    at     INTEGER NOT NULL DEFAULT 0,
    host   TEXT NOT NULL DEFAULT ''
);

-- Members that lapsed: a host found them silent for 30 days. They hold up neither the log nor logins nor migrations. A host removes
-- the row when the member is back and has everything.
CREATE TABLE clinicsync_lapse (
    node  TEXT PRIMARY KEY NOT NULL,
    since INTEGER NOT NULL DEFAULT 0,
    host  TEXT NOT NULL DEFAULT ''
);
