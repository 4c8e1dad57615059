-- What proves a node's row. `statement`: what the node says of itself, signed with its own key; the other columns repeat it for
-- programs. `renaming`: a name that a node with the right to sign gave. Nodes believe nothing else of the row but the certificate.
ALTER TABLE clinicsync_node ADD COLUMN statement BLOB;
ALTER TABLE clinicsync_node ADD COLUMN renaming BLOB;
