-- When a person settled the journal entry, in milliseconds since 1970; NULL while the entry is open.
ALTER TABLE clinicsync_journal ADD COLUMN resolvedAt INTEGER;
-- What the person kept, 'current' or 'other'; NULL while the entry is open.
ALTER TABLE clinicsync_journal ADD COLUMN kept TEXT;
CREATE INDEX clinicsync_journal_open ON clinicsync_journal (tableId) WHERE resolvedAt IS NULL;
