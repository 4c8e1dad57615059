import ClinicSyncCore
import ClinicSyncModel

/// A second record of which table has which small number and which columns its slots are: the setting `tables`.
///
/// Other tables name tables by the numbers of `clinicsync_table`. If a name in that table changes, the table of that name would get a
/// new number, and the node would know nothing of its rows. So the file holds the entries twice, and this copy has a checksum.
enum TableNames {
    /// An entry of `clinicsync_table`.
    private struct Entry: Hashable {
        var id: Int64
        var name: String
        /// The names of the columns by their slots, as JSON.
        var columns: String
    }

    /// The longest name, or list of columns, that the copy holds.
    private static let textBytesMax = 1 << 20

    /// Writes the copy again when it is not what the table says.
    ///
    /// Call it in the transaction in which the table may have changed.
    ///
    /// - Throws: what SQLite reports.
    static func save(in transaction: borrowing WriteTransaction) throws {
        let entries = try self.entries(on: transaction.connection)
        guard try self.read(on: transaction.connection) != entries else { return }
        var writer = ByteWriter()
        for entry in entries {
            writer.signed(entry.id)
            writer.string(entry.name)
            writer.string(entry.columns)
        }
        let hash = writer.bytes.withUnsafeBytes { SipHash.hash64($0) }
        writer.fixed64(hash)
        try Settings.set(.tables, to: .blob(writer.bytes), in: transaction)
    }

    /// Whether the table says what the copy says, as far as there is a copy.
    static func isAsWritten(on connection: Connection) throws -> Bool {
        let copy = try self.read(on: connection)
        return try copy.isEmpty || self.outdated(by: copy, on: connection).isEmpty
    }

    /// Gives every table that the copy names its number and its columns back.
    ///
    /// Call it before anything is read from `clinicsync_table`.
    ///
    /// - Returns: What was wrong; `nil` when nothing was.
    /// - Throws: what SQLite reports.
    static func restore(in transaction: borrowing WriteTransaction) throws -> DamageRepair? {
        let copy = try self.read(on: transaction.connection)
        let wrong = try self.outdated(by: copy, on: transaction.connection)
        guard !wrong.isEmpty else { return nil }
        // All of them first: names may have been exchanged.
        for entry in wrong {
            try transaction.statement("UPDATE clinicsync_table SET name = '?' || id WHERE id = ?1").bind(1, entry.id)
                .run()
        }
        for entry in wrong {
            try transaction.statement("DELETE FROM clinicsync_table WHERE name = ?1").bind(1, text: entry.name).run()
            try transaction
                .statement(
                    """
                    INSERT INTO clinicsync_table (id, name, columns) VALUES (?1, ?2, ?3)
                    ON CONFLICT (id) DO UPDATE SET name = ?2, columns = ?3
                    """
                )
                .bind(1, entry.id)
                .bind(2, text: entry.name)
                .bind(3, text: entry.columns)
                .run()
        }
        return DamageRepair(self.damage, count: wrong.count, outcome: .rebuilt)
    }

    /// What is reported when the table is not as the node wrote it.
    static var damage: OwnDamage { OwnDamage(.table, "the names or columns of tables were changed") }

    /// The entries of the copy that the table does not have.
    ///
    /// More columns are no damage: an older version of the software may have opened the file meanwhile.
    private static func outdated(by copy: [Entry], on connection: Connection) throws -> [Entry] {
        let present = try self.entries(on: connection)
        return copy.filter { entry in
            !present.contains { other in
                other.id == entry.id && other.name == entry.name
                    && (other.columns == entry.columns || other.columns.hasPrefix("\(entry.columns.dropLast()),"))
            }
        }
    }

    /// The copy; empty when the file has none, or when it is damaged.
    private static func read(on connection: Connection) throws -> [Entry] {
        do {
            return try Settings.read(.tables, on: connection) { try TableNames.decode($0.blob(0)) } ?? []
        } catch is MalformedRecord {
            return []
        }
    }

    private static func decode(_ bytes: UnsafeRawBufferPointer) throws(MalformedRecord) -> [Entry] {
        var reader = ByteReader(bytes)
        guard bytes.count >= 8 else { throw MalformedRecord(reason: "the tables' names end early") }
        let content = try reader.raw(UInt64(clamping: bytes.count - 8))
        guard try reader.fixed64() == SipHash.hash64(content) else {
            throw MalformedRecord(reason: "the checksum of the tables' names is wrong")
        }
        var entries: [Entry] = []
        var rest = ByteReader(content)
        while !rest.isAtEnd {
            let id = try rest.signed()
            let name = try rest.string(limit: TableNames.textBytesMax)
            entries.append(Entry(id: id, name: name, columns: try rest.string(limit: TableNames.textBytesMax)))
        }
        return entries
    }

    private static func entries(on connection: Connection) throws -> [Entry] {
        var entries: [Entry] = []
        // A name that is no text is found by nobody.
        let names = "CASE typeof(name) WHEN 'text' THEN name ELSE '' END, CAST(columns AS TEXT)"
        try connection.query("SELECT id, \(names) FROM clinicsync_table ORDER BY id").forEach { row in
            entries.append(Entry(id: row.int64(0), name: row.string(1), columns: row.string(2)))
        }
        return entries
    }
}
