package import ClinicSyncModel
import GRDB

/// Rows and digests of the clinic's tables, computed from the tables themselves.
///
/// Trusts no bookkeeping, and works on the file of a node that does not run.
package enum DatabaseDigest {
    /// Reads every row of `table`, or of all the clinic's tables, in one snapshot.
    ///
    /// - Throws: ``StoreError``; ``UnknownTable`` when the clinic has no table of that name.
    package static func compute(path: String, table: String?) throws -> [TableDigest] {
        try StoreError.mapping {
            let queue = try DatabaseQueue(path: path, configuration: StoreDatabase.configuration(isFile: true))
            defer { _ = Result { try queue.close() } }
            return try self.compute(queue, table: table)
        }
    }

    private static func compute(_ queue: DatabaseQueue, table: String?) throws -> [TableDigest] {
        try queue.writeWithoutTransaction { db in
            // A file that was not migrated yet need not have the nodes' own tables.
            let manifest = try Manifest(json: StoreSchema.clinic.manifest).clinical
            let connection = try Connection(db)
            defer { connection.finalizeStatements() }
            let plans = try connection.write(.relaxed) { _ in
                .relaxed(
                    TablePlans(try ClinicTables.read(from: db, manifest: manifest, history: .clinic, isForgiving: true))
                )
            }
            let wanted = try plans.clinical(table)
            return try connection.readSnapshot { try wanted.map { try self.digest($0, connection) } }
        }
    }

    static func digest(_ plan: TablePlan, _ connection: Connection) throws -> TableDigest {
        var result = TableDigest(name: plan.definition.name, rows: 0, digest: .zero)
        var hasher = RowHasher()
        try connection.query(plan.sql.selectAll).forEach { row in
            result.digest += hasher.hash(plan, key: row.ref(Int32(plan.keySlot))) { row.ref(Int32($0)) }
            result.rows += 1
        }
        return result
    }
}
