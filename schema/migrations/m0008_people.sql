-- What people say to one another through the nodes, and how nodes measure how long a change takes to arrive. The first three are
-- replicated, as those of m0004_trust.sql; programs may read them, and what they write there does no more than these commands can.

-- Notices to programs (`clinic-node notify`). `node`: for that node's programs alone; NULL: for all. `userId`: for that user, on
-- every node. `createdAt`: corrected milliseconds since 1970. `createdBy`: the id of the node where it was said. The host removes
-- what is older than two days.
CREATE TABLE clinicsync_notice (
    id TEXT PRIMARY KEY NOT NULL,
    node TEXT,
    userId TEXT,
    text TEXT NOT NULL DEFAULT '',
    createdAt INTEGER NOT NULL DEFAULT 0,
    createdBy TEXT NOT NULL DEFAULT ''
);

-- The newest measurement of each node (`clinic-node probe`). `startedAt`: corrected milliseconds since 1970.
CREATE TABLE clinicsync_probe (
    node TEXT PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL DEFAULT 0,
    startedAt INTEGER NOT NULL DEFAULT 0
);

-- The newest answer of each node to each other's measurements. `id`: both ids with a colon between. `at`: corrected milliseconds at
-- which the answerer had the change. `connected`: the ids of the nodes that are connected with it, with spaces between.
CREATE TABLE clinicsync_probe_answer (
    id TEXT PRIMARY KEY NOT NULL,
    prober TEXT NOT NULL DEFAULT '',
    answerer TEXT NOT NULL DEFAULT '',
    number INTEGER NOT NULL DEFAULT 0,
    at INTEGER NOT NULL DEFAULT 0,
    connected TEXT NOT NULL DEFAULT ''
);

-- Notices that this node's programs were told of, or were too old for it. Belongs to this file alone.
CREATE TABLE clinicsync_told (
    id TEXT PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;
