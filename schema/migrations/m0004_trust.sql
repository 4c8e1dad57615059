-- Tables that the nodes themselves fill and share, replicated like the clinic's own. Programs may read them;
-- what they write there is believed by nobody, since every entry that decides anything is signed, and what they
-- delete is put back. The keys are names of nodes, so none has a DEFAULT.

-- The nodes, each of which keeps its own row up to date. `id`: the node's id as people see it. `certificate`: its
-- certificate in DER. `maySign`: whether it says that it may sign, a hint where to ask. `joinedAt`: milliseconds since 1970.
CREATE TABLE clinicsync_node (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    address TEXT NOT NULL DEFAULT '',
    certificate BLOB,
    softwareVersion TEXT NOT NULL DEFAULT '',
    maySign INTEGER NOT NULL DEFAULT 0,
    joinedAt INTEGER NOT NULL DEFAULT 0
);

-- Nodes that may sign certificates, with the certificate in DER that says so.
CREATE TABLE clinicsync_grant (
    node TEXT PRIMARY KEY NOT NULL,
    certificate BLOB NOT NULL
);

-- Nodes that were removed from the clinic, with the signed entry that says so. `number` is the entry's own, for
-- people and for sorting.
CREATE TABLE clinicsync_revocation (
    node TEXT PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL,
    entry BLOB NOT NULL
);

-- Invitations are kept in a file that only the node's user can write: any program may write this one.
DROP TABLE clinicsync_invitation;
