-- All addresses of a node in one text, with spaces between them, the likeliest first. `address` stays the first of them,
-- for programs that read it.
ALTER TABLE clinicsync_node ADD COLUMN addresses TEXT NOT NULL DEFAULT '';
