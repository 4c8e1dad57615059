-- When a person dealt with an entry of the journal, milliseconds since 1970; NULL as long as nobody did.
ALTER TABLE clinicsync_journal ADD COLUMN resolvedAt INTEGER;
-- What that person kept, 'current' or 'other'; NULL as long as nobody did.
ALTER TABLE clinicsync_journal ADD COLUMN kept TEXT;
CREATE INDEX clinicsync_journal_open ON clinicsync_journal (tableId) WHERE resolvedAt IS NULL;
