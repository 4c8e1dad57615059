/// The SQL that reads and writes the rows of one table.
///
/// Names come from the database's own schema, never from a peer.
struct TableSQL: Sendable {
    /// Reads a row by key; columns in the order of slots.
    let select: String
    /// Reads all rows.
    let selectAll: String
    /// Reads what the node knows of the rows behind the key ?1, in the order of their keys, beside the rows: key, stamp, author, number,
    /// hash, registers and context, the key in the table, and the columns in the order of slots, which are NULL where the table lacks
    /// the row; ?2 is the table's number.
    let selectKnown: String
    /// Inserts a row; parameters in the order of slots.
    let insert: String
    /// Deletes a row by key.
    let delete: String
    private let names: [String?]
    private let table: String
    private let key: String
    /// The table that keeps the values of deleted rows.
    private let last: String
    /// The present columns, and their parameters.
    private let present: (columns: String, parameters: String)

    /// The newest saved values of a deleted row; columns in the order of slots.
    let selectLast: String
    /// Where the values of columns are.
    let places: Places

    /// Where the values of columns are that stood aside, or still do.
    struct Places {
        /// The slots of the columns that the table has.
        let present: UInt64
        /// The slots of columns of which other nodes' values still stand aside; see ``ColumnDefinition/isFresh``.
        let fresh: UInt64
        /// The slots of columns that may convert values; see ``ColumnDefinition/isConverting``.
        let converting: UInt64
    }

    /// Makes the SQL for `definition`; `names` gives the name of each slot's column.
    init(_ definition: TableDefinition, names: [String?]) {
        self.names = names
        self.table = SQLText.name(definition.name)
        self.key = SQLText.name(definition.keyColumn)
        self.last = SQLText.name(CaptureTriggers.lastTable(for: definition))
        let present = definition.presentColumns
        func slots(_ columns: [ColumnDefinition]) -> UInt64 { columns.reduce(0) { $0 | 1 << UInt64($1.slot) } }
        self.places = Places(
            present: slots(present),
            fresh: slots(present.filter(\.isFresh)),
            converting: slots(present.filter(\.isConverting))
        )
        self.present = (
            columns: SQLText.list(present.map(\.name)),
            parameters: present.map { "?\($0.slot + 1)" }.joined(separator: ", ")
        )
        // Only numbers and this file's own names come into the text: a column that stands aside has its name from another node.
        func bySlot(of source: String, _ key: String) -> String {
            names.enumerated().map { slot, name in
                guard let name, let column = definition.column(slot: slot) else { return "NULL" }
                let place = "FROM clinicsync_aside WHERE tableId = \(definition.number) AND slot = \(slot) AND pk"
                if let affinity = column.commonAffinity {
                    let shown = "\(source).\(SQLText.name(name))"
                    return """
                        coalesce((SELECT value \(place) = \(source).\(key) AND shown IS \(shown) AND shown IS NOT NULL \
                        AND typeof(shown) = typeof(\(shown))), \(affinity.sql(of: shown)))
                        """
                }
                guard column.isAside else { return SQLText.name(name) }
                return """
                    (SELECT value \(place) = \(source).\(key) UNION ALL SELECT value \(place) = 0 LIMIT 1)
                    """
            }
            .joined(separator: ", ")
        }
        self.selectAll = "SELECT \(bySlot(of: self.table, self.key)) FROM \(self.table)"
        self.selectKnown = """
            SELECT r.pk, r.timestamp, r.origin, r.sequence, r.hash, r.registers, r.context, t.*
            FROM clinicsync_row AS r LEFT JOIN (
                SELECT \(self.key) AS clinicsync_key, \(bySlot(of: self.table, self.key)) FROM \(self.table)
            ) AS t ON t.clinicsync_key = r.pk WHERE r.tableId = ?2 AND r.pk > ?1 ORDER BY r.pk
            """
        self.selectLast = """
            SELECT \(bySlot(of: self.last, self.key)) FROM \(self.last) \
            WHERE \(self.key) = ?1 ORDER BY rowid DESC LIMIT 1
            """
        self.select = "\(self.selectAll) WHERE \(self.key) = ?1"
        self.insert = "INSERT INTO \(self.table) (\(self.present.columns)) VALUES (\(self.present.parameters))"
        self.delete = "DELETE FROM \(self.table) WHERE \(self.key) = ?1"
    }

    // MARK: - Writing

    /// Inserts a row with further columns that have no slot; their parameters follow those of the slots.
    func insert(with others: [String]) -> String {
        guard !others.isEmpty else { return self.insert }
        let columns = "\(self.present.columns), \(SQLText.list(others))"
        let further = others.indices.map { "?\($0 + self.names.count &+ 1)" }.joined(separator: ", ")
        return "INSERT INTO \(self.table) (\(columns)) VALUES (\(self.present.parameters), \(further))"
    }

    /// Sets present columns, those of `slots`, in the row with key ?1; the values are ?2, ?3, … in the order of slots.
    func update(slots: UInt64) -> String {
        let assignments = slots.setBits.enumerated()
            .map { "\(SQLText.name(self.names[$0.element] ?? "")) = ?\($0.offset + 2)" }
            .joined(separator: ", ")
        return "UPDATE \(self.table) SET \(assignments) WHERE \(self.key) = ?1"
    }

    /// Inserts a row with these columns, or changes the row with the same key; ?1, ?2, … are the values.
    ///
    /// `columns` includes the key. The statement does not touch a row that already has the same values and storage
    /// classes.
    func upsert(columns: [String]) -> String {
        let quoted = columns.map { name in
            precondition(self.names.contains(name), "\(self.table) has no column \(name)")
            return SQLText.name(name)
        }
        let parameters = (1...quoted.count).map { "?\($0)" }.joined(separator: ", ")
        let insert = "INSERT INTO \(self.table) (\(quoted.joined(separator: ", "))) VALUES (\(parameters))"
        let others = quoted.filter { $0 != self.key }
        guard !others.isEmpty else { return "\(insert) ON CONFLICT (\(self.key)) DO NOTHING" }
        let assignments = others.map { "\($0) = excluded.\($0)" }.joined(separator: ", ")
        let differences = others.map { "\(self.table).\($0) IS NOT excluded.\($0)" }.joined(separator: " OR ")
        return "\(insert) ON CONFLICT (\(self.key)) DO UPDATE SET \(assignments) WHERE \(differences)"
    }

    /// Marks every key of the table and every key that the node knows with the count ?3, so that the collector compares them
    /// all; a clause for keys that are marked already follows.
    var markAll: String {
        """
        INSERT INTO clinicsync_dirty (tableId, pk, writtenAt, n)
        SELECT ?1, \(self.key), ?2, ?3 FROM \(self.table) WHERE \(self.key) IS NOT NULL
        UNION
        SELECT ?1, pk, ?2, ?3 FROM clinicsync_row WHERE tableId = ?1
        """
    }

    /// Marks the rows of the table.
    var markPresent: String {
        """
        INSERT INTO clinicsync_dirty (tableId, pk, writtenAt, n)
        SELECT ?1, \(self.key), ?2, 1 FROM \(self.table) WHERE \(self.key) IS NOT NULL
        ON CONFLICT (tableId, pk) DO UPDATE SET n = n + 1
        """
    }

    /// Marks the rows whose value in `column` is not ?3.
    func markDiffering(column: String) -> String {
        """
        INSERT INTO clinicsync_dirty (tableId, pk, writtenAt, n)
        SELECT ?1, \(self.key), ?2, 1 FROM \(self.table) WHERE \(SQLText.name(column)) IS NOT ?3
        ON CONFLICT (tableId, pk) DO UPDATE SET n = n + 1
        """
    }

    // MARK: - Reading

    /// Reads columns that may have no slot of the row with key ?1.
    func select(columns: [String]) -> String {
        "SELECT \(SQLText.list(columns)) FROM \(self.table) WHERE \(self.key) = ?1"
    }

    /// Counts the rows, at most ?1.
    var count: String { "SELECT count(*) FROM (SELECT 1 FROM \(self.table) LIMIT ?1)" }

    /// Reads at most ?2 rows in the order of their keys: the rows after the key ?1, or the first rows.
    ///
    /// No smallest key exists to start from: the column is declared TEXT, so SQLite would compare a number as text.
    func selectPage(isFirst: Bool) -> String {
        let range = isFirst ? "WHERE \(self.key) IS NOT NULL" : "WHERE \(self.key) > ?1"
        return "\(self.selectAll) \(range) ORDER BY \(self.key) LIMIT ?2"
    }

    /// The keys of the rows of which the node knows nothing, and that no program has marked; ?1 is the table's number.
    var unknownKeys: String {
        let key = "\(self.table).\(self.key)"
        return """
            SELECT \(key) FROM \(self.table)
            WHERE NOT EXISTS (SELECT 1 FROM clinicsync_row r WHERE r.tableId = ?1 AND r.pk = \(key))
            AND NOT EXISTS (SELECT 1 FROM clinicsync_dirty d WHERE d.tableId = ?1 AND d.pk = \(key) AND d.n > 0)
            """
    }

    /// Says what is wrong in the table and its indexes, or `ok`.
    var integrityCheck: String { "PRAGMA integrity_check(\(self.table))" }

    /// Whether the table has a row with the key `pk`.
    var exists: String { "EXISTS (SELECT 1 FROM \(self.table) WHERE \(self.key) = pk)" }

    // MARK: - Values of deleted rows

    /// Saves the values of the row with key ?1, as the capture trigger does when it is deleted.
    var saveLast: String {
        """
        INSERT INTO \(self.last) (\(self.present.columns)) SELECT \(self.present.columns) FROM \(self.table) WHERE \(self.key) = ?1
        """
    }

    /// Deletes the saved values of a row.
    var deleteLast: String { "DELETE FROM \(self.last) WHERE \(self.key) = ?1" }

    // MARK: - Columns that stand aside

    /// Keeps the value ?4 of the column in slot ?3, number ?2 of the table, if the row with key ?1 shows it converted.
    func keepConverted(slot: Int) -> String {
        let column = SQLText.name(self.names[slot] ?? "")
        return """
            INSERT INTO clinicsync_aside (tableId, pk, slot, value, shown)
            SELECT ?2, ?1, ?3, ?4, \(column) FROM \(self.table)
            WHERE \(self.key) = ?1 AND (typeof(\(column)) <> typeof(?4) OR +\(column) IS NOT ?4)
            ON CONFLICT (tableId, pk, slot) DO NOTHING
            """
    }

    /// Deletes the values of a row that stand aside, unless the table has the row; ?1 is the key, ?2 the table's number.
    var deleteAside: String {
        """
        DELETE FROM clinicsync_aside WHERE tableId = ?2 AND pk = ?1
        AND NOT EXISTS (SELECT 1 FROM \(self.table) WHERE \(self.key) = ?1)
        """
    }
}
