-- Tables that the nodes themselves fill, replicated like the clinic's tables. Programs may read them. Nodes do not
-- believe what programs write here, because every row that decides something is signed. Nodes put deleted rows back.
-- The keys are ids of nodes, so none has a DEFAULT.

-- The nodes. Each node updates its own row. `id`: the node's id as people see it. `certificate`: its certificate in DER.
-- `maySign`: whether the node says that it may sign, which is only a hint. `joinedAt`: milliseconds since 1970.
CREATE TABLE clinicsync_node (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    address TEXT NOT NULL DEFAULT '',
    certificate BLOB,
    softwareVersion TEXT NOT NULL DEFAULT '',
    maySign INTEGER NOT NULL DEFAULT 0,
    joinedAt INTEGER NOT NULL DEFAULT 0
);

-- Nodes that may sign certificates, with the certificate in DER that grants the right.
CREATE TABLE clinicsync_grant (
    node TEXT PRIMARY KEY NOT NULL,
    certificate BLOB NOT NULL
);

-- Nodes that were removed from the clinic, with the signed revocation. `number` is the revocation's number, for people
-- and for sorting.
CREATE TABLE clinicsync_revocation (
    node TEXT PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL,
    entry BLOB NOT NULL
);

-- Invitations move to a file that only the node's account can write, because any program may write this database.
DROP TABLE clinicsync_invitation;
