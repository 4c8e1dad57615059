-- Notices between people, and measurements of how long a change takes to arrive. The first three tables are replicated, like
-- those of m0004_trust.sql. Programs may read them. A program that writes them can do no more than the commands can.

-- Notices to programs (`clinic-node notify`). `node`: only for the programs of this node; NULL: for all. `userId`: only for this
-- user, on every node. `createdAt`: corrected milliseconds since 1970. `createdBy`: the id of the node where the notice was made.
-- The host removes notices that are older than two days.
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

-- The newest answer of each node to each other node's measurements. `id`: both ids with a colon between. `at`: when the answering
-- node had the change, in corrected milliseconds. `connected`: the ids of the nodes connected with the answering node, with spaces
-- between.
CREATE TABLE clinicsync_probe_answer (
    id TEXT PRIMARY KEY NOT NULL,
    prober TEXT NOT NULL DEFAULT '',
    answerer TEXT NOT NULL DEFAULT '',
    number INTEGER NOT NULL DEFAULT 0,
    at INTEGER NOT NULL DEFAULT 0,
    connected TEXT NOT NULL DEFAULT ''
);

-- Notices that this node has sent to its programs, or that were too old to send. Local to this file.
CREATE TABLE clinicsync_told (
    id TEXT PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;
