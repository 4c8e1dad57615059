-- What this node's file lacks of the clinic's tables, as JSON: by table the columns that are missing; an empty list stands for
-- the whole table. NULL when nothing is missing.
ALTER TABLE clinicsync_node ADD COLUMN lacks TEXT;

-- The defaults and the declared types of the columns as the clinic has them, as JSON by column. A program may make the table
-- again with others: they are this file's own matter.
ALTER TABLE clinicsync_table ADD COLUMN defaults TEXT;
ALTER TABLE clinicsync_table ADD COLUMN types TEXT;

-- What the table shows in place of a value that the column's type in this file converts: while the table shows it, the row's
-- value is `value`. NULL in rows of columns that the file does not have.
ALTER TABLE clinicsync_aside ADD COLUMN shown;
