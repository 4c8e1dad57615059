-- Which deletions every active member has had for so long that their tombstones may go: a vector, as a host found it. Deleted rows
-- all of whose versions it covers count in no comparison of nodes (docs/design/0028-tombstones.md).
ALTER TABLE clinicsync_horizon ADD COLUMN forgotten BLOB;

-- Pages of a state that began before this migration do not say what they lack: the transfer begins again.
DELETE FROM clinicsync_stage;
DELETE FROM clinicsync_transfer;
-- The last key that a page covers; NULL: the rest of its table. `lacksRows`: whether its sender left out rows of that range.
ALTER TABLE clinicsync_stage ADD COLUMN pk;
ALTER TABLE clinicsync_stage ADD COLUMN lacksRows INTEGER NOT NULL DEFAULT 0;
-- What may have been forgotten of the rows that the state lacks.
ALTER TABLE clinicsync_transfer ADD COLUMN forgotten BLOB;
