import ClinicSyncModel

/// Takes out of a copy what belongs to the running node alone.
///
/// `docs/design/0026-backup.md` says for each table what becomes of it, and why.
struct PrivateContent {
    let exclusions: BackupExclusions

    /// The tables that say something about rows, by table and key.
    private static let bookkeeping = [
        "row", "tombstone", "counter", "waiting", "shadow", "claim", "aside", "dirty",
    ]

    /// The events of this PC; what members have, which they say again; own batches that may still change, which none in a
    /// copy may; a state that is on its way from or to another node.
    private static let transient = [
        "event", "member", "unshared", "stage", "transfer", "pin",
    ].map { "clinicsync_" + $0 }

    /// Takes it out.
    func remove(in transaction: borrowing WriteTransaction) throws {
        for table in self.exclusions.replicated { try self.forget(table, in: transaction) }
        for table in self.exclusions.local + PrivateContent.transient {
            try self.empty(table, in: transaction)
        }
        guard try transaction.connection.hasTable("clinicsync_setting") else { return }
        // A place that no file has: the node that opens the copy begins a new incarnation.
        try Settings.set(.place, to: .blob([]), in: transaction)
        try Settings.set(.eventBoot, to: .string(""), in: transaction)
        // Nobody deleted the rows that are left out: that the copy lacks them must not have others delete them.
        if !self.exclusions.replicated.isEmpty { try Settings.set(.lostRows, to: .integer(1), in: transaction) }
        // The numbers of tables in the schema are others in the copy.
        for name in [Settings.Name.renounced, .tableIdentities] { try Settings.remove(name, in: transaction) }
    }

    /// Removes the rows of a replicated table, and what is known of them, as if the node had never seen them.
    private func forget(_ table: String, in transaction: borrowing WriteTransaction) throws {
        let connection = transaction.connection
        try self.empty(table, in: transaction)
        try self.empty("clinicsync_last_" + table, in: transaction)
        guard try connection.hasTable("clinicsync_table") else { return }
        let number = try connection.query("SELECT id FROM clinicsync_table WHERE name = ?1").bind(1, text: table)
            .first { $0.int64(0) }
        guard let number else { return }
        for name in PrivateContent.bookkeeping where try connection.hasTable("clinicsync_" + name) {
            try transaction.statement("DELETE FROM clinicsync_\(name) WHERE tableId = ?1").bind(1, number).run()
        }
        try transaction.statement("UPDATE clinicsync_digest SET rows = 0, high = 0, low = 0 WHERE tableId = ?1")
            .bind(1, number)
            .run()
    }

    private func empty(_ table: String, in transaction: borrowing WriteTransaction) throws {
        guard try transaction.connection.hasTable(table) else { return }
        try transaction.statement("DELETE FROM \(SchemaCopy.quoted(table))").run()
    }
}
