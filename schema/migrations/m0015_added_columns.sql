-- Columns that programs added to the clinic's tables in this node's file, as JSON: the default of each column by table and column.
ALTER TABLE clinicsync_node ADD COLUMN columns TEXT;

-- Values of columns that programs of other PCs added and that this file does not have: `slot` is the column's in
-- clinicsync_table. A column that is missing in a row has its default, which stands under the pk 0.
CREATE TABLE clinicsync_aside (
    tableId INTEGER NOT NULL,
    pk              NOT NULL,
    slot    INTEGER NOT NULL,
    value,
    PRIMARY KEY (tableId, pk, slot)
) WITHOUT ROWID;
