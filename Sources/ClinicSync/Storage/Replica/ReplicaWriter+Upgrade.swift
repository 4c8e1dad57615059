import ClinicSyncCore
import ClinicSyncModel
import Foundation

/// The columns of the tables as they were when the rows' hashes were made; kept in `clinicsync_setting`.
struct AdoptedSchema: Hashable, Codable {
    /// A column that takes part in hashes.
    struct Column: Hashable, Codable {
        var slot: Int
        var name: String
        /// The hash of its default; 0 for NULL.
        var defaultHash: UInt64
    }

    /// By the table's number.
    var tables: [Int: Set<Column>]

    /// The columns of `plans`.
    init(_ plans: TablePlans) {
        self.tables = Dictionary(
            uniqueKeysWithValues: plans.all.map { plan in
                (plan.definition.number, Set(plan.hashOrder.map { Self.column($0, of: plan) }))
            }
        )
    }

    /// The columns that a version of the program saw which let only NULL pass for a default.
    static func beforeDefaults(_ plans: TablePlans) -> AdoptedSchema {
        var schema = AdoptedSchema(plans)
        for (number, columns) in schema.tables {
            schema.tables[number] = Set(columns.map { Column(slot: $0.slot, name: $0.name, defaultHash: 0) })
        }
        return schema
    }

    private static func column(_ slot: Int, of plan: TablePlan) -> Column {
        Column(slot: slot, name: plan.names[slot] ?? "", defaultHash: plan.defaultHashes[slot])
    }

    /// Reads what is kept; `nil` when nothing is, or nothing that makes sense.
    static func load(_ connection: Connection) throws -> AdoptedSchema? {
        let text = try connection.statement("SELECT value FROM clinicsync_setting WHERE name = 'schema'")
            .first { $0.string(0) }
        guard let text else { return nil }
        do {
            return try JSONDecoder().decode(AdoptedSchema.self, from: Data(text.utf8))
        } catch is DecodingError {
            return nil
        }
    }

    /// Keeps it.
    func save(_ connection: Connection) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        try connection
            .statement("INSERT OR REPLACE INTO clinicsync_setting (name, value) VALUES ('schema', ?1)")
            .bind(1, text: String(decoding: try encoder.encode(self), as: UTF8.self))
            .run()
    }
}

/// What opening a file with another schema than before has to do beside the migrations.
///
/// Columns that were added need nothing: their defaults are in no hash. Columns that were dropped or renamed, and defaults that
/// changed, are in the hashes of rows that nobody edited, and so must not pass for edits. What came while the columns or
/// tables were unknown is read again from the log.
extension ReplicaWriter {
    /// Brings what is known of the rows in line with the schema; call it once, before anything is collected.
    func adoptSchema() throws {
        try self.adoptHashes()
        try self.readUnread()
    }

    // MARK: - Hashes

    private func adoptHashes() throws {
        let current = AdoptedSchema(self.plans)
        let stored = try self.perform { try AdoptedSchema.load(self.connection) }
        guard stored != current else { return }
        let before = stored ?? .beforeDefaults(self.plans)
        try self.transaction {
            for plan in self.plans.all {
                let number = plan.definition.number
                guard let old = before.tables[number], let new = current.tables[number], !old.isSubset(of: new) else {
                    continue
                }
                let defaults = Dictionary(
                    old.map { ($0.slot, $0.defaultHash) },
                    uniquingKeysWith: { first, _ in first }
                )
                try self.rehash(plan, oldDefaults: defaults)
            }
            try current.save(self.connection)
        }
    }

    /// Hashes the rows of a table anew, except for columns that a program has written since the node last looked.
    private func rehash(_ plan: TablePlan, oldDefaults: [Int: UInt64]) throws {
        var after = SQLiteValue.integer(0)
        while true {
            var keys: [SQLiteValue] = []
            try self.connection
                .statement("SELECT pk FROM clinicsync_row WHERE tableId = ?1 AND pk > ?2 ORDER BY pk LIMIT ?3")
                .bind(1, plan.definition.number)
                .bind(2, after)
                .bind(3, ReplicaWriter.sweepRowsMax)
                .forEach { keys.append($0.ref(0).value) }
            guard let last = keys.last else { return }
            after = last
            for key in keys {
                try ValueRef.with(key) { try self.rehash(plan, key: $0, oldDefaults: oldDefaults) }
            }
        }
    }

    private func rehash(_ plan: TablePlan, key: ValueRef, oldDefaults: [Int: UInt64]) throws {
        guard let meta = try self.meta(plan, key: key) else { return }
        let isEdited = try self.connection.statement(plan.selectSQL).bind(1, key).first { row in
            self.hashes.compute(plan: plan, key: key, scratch: &self.scratch) { row.ref(Int32($0)) }
            var isEdited = false
            for slot in plan.hashOrder {
                let stored = slot < meta.columns.count ? meta.columns[slot] : 0
                let hash = RowHashes.column(row.ref(Int32(slot)))
                let expected = oldDefaults[slot].map { RowHashes.relative(hash, to: $0) } ?? self.hashes.columns[slot]
                guard RowMeta.short(expected) != stored else { continue }
                isEdited = true
                self.hashes.columns[slot] = UInt64(stored)
            }
            return isEdited
        }
        // Deleted or written since: the collector will compare it with what is kept.
        if isEdited != false { try self.mark(plan, key: key) }
        guard let isEdited else { return }
        if isEdited { self.hashes.row = meta.hash }
        try self.replaceHashes(plan, key: key, old: meta.hash)
    }

    private func replaceHashes(_ plan: TablePlan, key: ValueRef, old: Digest) throws {
        RowMeta.writeColumns(self.hashes, plan: plan, to: &self.scratch)
        let statement = try self.connection.statement(
            "UPDATE clinicsync_row SET hash = ?3, columns = ?4 WHERE tableId = ?1 AND pk = ?2"
        )
        statement.bind(1, plan.definition.number).bind(2, key)
        try ReplicaWriter.withBytes(of: self.hashes.row) { hash in
            statement.bind(3, .blob(hash))
            try self.scratch.bytes.withUnsafeBytes { try statement.bind(4, .blob($0)).run() }
        }
        let number = plan.definition.number
        self.ledger.tables[number]?.digest -= old
        self.ledger.tables[number]?.digest += self.hashes.row
        self.ledger.tables[number]?.isChanged = true
    }
}
