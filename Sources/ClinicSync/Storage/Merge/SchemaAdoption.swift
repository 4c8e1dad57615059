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
                (plan.definition.number, Set(plan.hashing.order.map { Self.column($0, of: plan) }))
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
        Column(slot: slot, name: plan.names[slot] ?? "", defaultHash: plan.hashing.defaults[slot])
    }

    /// Reads what is kept; `nil` when nothing is, or nothing that makes sense.
    static func load(_ connection: Connection) throws -> AdoptedSchema? {
        let text = try Settings.read(.schema, on: connection) { $0.string(0) }
        guard let text else { return nil }
        do {
            return try JSONDecoder().decode(AdoptedSchema.self, from: Data(text.utf8))
        } catch is DecodingError {
            return nil
        }
    }

    /// Keeps it.
    func save(in transaction: borrowing WriteTransaction) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let text = String(decoding: try encoder.encode(self), as: UTF8.self)
        try Settings.set(.schema, to: .string(text), in: transaction)
    }
}

/// Brings rows' hashes in line with another schema than at the last opening.
///
/// Columns that were added need nothing: no hash covers their defaults. Columns that were dropped or renamed, and defaults that
/// changed, are in the hashes of rows that no program edited, and so must not count as edits.
final class SchemaAdoption {
    private let rows: RowStates
    private var hasher = RowHasher()
    /// The hashes of the row at hand, with those of edited columns as they were.
    private var hashes = RowHashes()

    /// Works on the tables of `rows`.
    init(rows: RowStates) { self.rows = rows }

    /// The schema by which rows were hashed, if it is another than the present one.
    func outdated(on connection: Connection) throws -> AdoptedSchema? {
        guard let stored = try AdoptedSchema.load(connection) else { return .beforeDefaults(self.rows.plans) }
        let current = AdoptedSchema(self.rows.plans)
        // A table that is missing keeps its entry for its return.
        let kept = stored.tables.filter { current.tables[$0.key] != nil }
        return kept == current.tables ? nil : stored
    }

    /// Hashes rows again whose tables have lost or changed columns since `before`.
    func rehash(since before: AdoptedSchema, in transaction: borrowing WriteTransaction) throws {
        var current = AdoptedSchema(self.rows.plans)
        for plan in self.rows.plans.all {
            let number = plan.definition.number
            guard let old = before.tables[number], let new = current.tables[number], !old.isSubset(of: new) else {
                continue
            }
            let defaults = Dictionary(
                old.map { ($0.slot, $0.defaultHash) },
                uniquingKeysWith: { first, _ in first }
            )
            try self.rehash(plan, oldDefaults: defaults, in: transaction)
            self.rows.sums.markStale(plan)
        }
        current.tables.merge(before.tables) { new, _ in new }
        try current.save(in: transaction)
    }

    /// One query reads this many keys.
    private static let keysMax = 2_000

    /// Hashes the rows of a table again, except for columns that a program has written since the node last looked.
    private func rehash(
        _ plan: TablePlan,
        oldDefaults: [Int: UInt64],
        in transaction: borrowing WriteTransaction
    ) throws {
        var after = SQLiteValue.integer(0)
        while true {
            var keys: [SQLiteValue] = []
            try transaction
                .statement("SELECT pk FROM clinicsync_row WHERE tableId = ?1 AND pk > ?2 ORDER BY pk LIMIT ?3")
                .bind(1, plan.definition.number)
                .bind(2, after)
                .bind(3, SchemaAdoption.keysMax)
                .forEach { keys.append($0.ref(0).value) }
            guard let last = keys.last else { return }
            after = last
            for key in keys {
                try ValueRef.with(key) { try self.rehash(plan, key: $0, oldDefaults: oldDefaults, in: transaction) }
            }
        }
    }

    private func rehash(
        _ plan: TablePlan,
        key: ValueRef,
        oldDefaults: [Int: UInt64],
        in transaction: borrowing WriteTransaction
    ) throws {
        guard let meta = try self.rows.table.meta(plan, key: key, on: transaction.connection) else { return }
        let (history, definition) = (self.rows.plans.tables.history, plan.definition)
        let added = definition.presentColumns.reduce(UInt64(0)) { slots, column in
            history.isAdded(column.name, to: definition.name) ? slots | 1 << UInt64(column.slot) : slots
        }
        let isEdited = try transaction.statement(plan.sql.select).bind(1, key).first { row in
            self.hasher.hash(plan, key: key) { row.ref(Int32($0)) }
            self.hashes = self.hasher.hashes
            var isEdited = false
            for slot in plan.hashing.order {
                let stored = slot < meta.columns.count ? meta.columns[slot] : 0
                let hash = RowHashes.column(row.ref(Int32(slot)))
                let expected = oldDefaults[slot].map { RowHashes.relative(hash, to: $0) } ?? self.hashes.columns[slot]
                // The clinic has another default now for a column that programs added. The one that was here is this PC's value.
                let isOwnDefault =
                    stored == 0 && expected == 0 && self.hashes.columns[slot] != 0 && added & (1 << UInt64(slot)) != 0
                guard RowMeta.short(expected) != stored || isOwnDefault else { continue }
                isEdited = true
                self.hashes.columns[slot] = UInt64(stored)
            }
            return isEdited
        }
        // Deleted or written since: the collector will compare it with what is kept.
        if isEdited != false { try self.rows.marks.mark(plan, key: key, in: transaction) }
        guard let isEdited else { return }
        if isEdited { self.hashes.row = meta.hash }
        try self.rows.table.replaceHashes(plan, key: key, hashes: self.hashes, old: meta.hash, in: transaction)
    }
}
