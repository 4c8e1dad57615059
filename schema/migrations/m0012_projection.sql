-- Rows whose table form is not their own merged state: hidden rows, rows that show another value than their own, and deleted
-- rows that are shown because a child needs them. `form`: see ShadowForm. `state`: the row's own state. `context`: what its
-- deleters had seen. (docs/design/0009-projection.md)
CREATE TABLE clinicsync_shadow (
    tableId INTEGER NOT NULL,
    pk              NOT NULL,
    form    INTEGER NOT NULL,
    state   BLOB    NOT NULL,
    context INTEGER,
    PRIMARY KEY (tableId, pk)
) WITHOUT ROWID;

-- An index of the rows in clinicsync_shadow: by the unique keys that a row claims (`rule` from 0), by the rows that it refers to
-- (from 64), and by the keys that it would show if they were free (from 128). Other rows are found in their tables.
CREATE TABLE clinicsync_claim (
    tableId INTEGER NOT NULL,
    rule    INTEGER NOT NULL,
    value           NOT NULL,
    pk              NOT NULL,
    PRIMARY KEY (tableId, rule, value, pk)
) WITHOUT ROWID;
CREATE INDEX clinicsync_claim_row ON clinicsync_claim (tableId, pk);

-- clinicsync_waiting keeps only notes: which row was set aside, and why. The states move to the shadows. Form 4: a constraint
-- refused the row.
INSERT INTO clinicsync_shadow (tableId, pk, form, state, context)
SELECT tableId, pk, 4, state, context FROM clinicsync_waiting WHERE tableId <> 0;
ALTER TABLE clinicsync_waiting RENAME TO clinicsync_waiting_before;
CREATE TABLE clinicsync_waiting (
    tableId INTEGER NOT NULL,
    pk              NOT NULL,
    reason  TEXT    NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (tableId, pk)
) WITHOUT ROWID;
INSERT INTO clinicsync_waiting SELECT tableId, pk, reason, since FROM clinicsync_waiting_before;
DROP TABLE clinicsync_waiting_before;
