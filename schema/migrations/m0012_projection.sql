-- Rows whose table form is not their own merged state: hidden ones, those that show another value than their own, deleted
-- ones that are shown because a child needs them. `form`: see ShadowForm. `state`: the row's own state; `context`: what its
-- deleters had seen. (docs/design/0009-projection.md)
CREATE TABLE clinicsync_shadow (
    tableId INTEGER NOT NULL,
    pk              NOT NULL,
    form    INTEGER NOT NULL,
    state   BLOB    NOT NULL,
    context INTEGER,
    PRIMARY KEY (tableId, pk)
) WITHOUT ROWID;

-- By what a row in clinicsync_shadow is found: the unique keys it claims (`rule` from 0), the rows it refers to (from 64), and
-- the keys it would show if they were free (from 128). A row that is not in clinicsync_shadow is found in its table.
CREATE TABLE clinicsync_claim (
    tableId INTEGER NOT NULL,
    rule    INTEGER NOT NULL,
    value           NOT NULL,
    pk              NOT NULL,
    PRIMARY KEY (tableId, rule, value, pk)
) WITHOUT ROWID;
CREATE INDEX clinicsync_claim_row ON clinicsync_claim (tableId, pk);

-- Notes remain: what was set aside, and why. Form 4: a constraint refused the row.
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
