import ClinicSyncCore
import ClinicSyncModel

/// Looks whether the indexes of a table show the table's rows.
///
/// A disk may change an index. SQLite then finds no row under a key that the table has, or shows a row under a key that nobody
/// wrote. Such a row must not count as deleted or as new on this PC, because the change would reach every PC. SQLite itself
/// notices this only when it removes an entry that is not in the index. So the node looks when a row is missing or new without
/// a mark of a program.
final class IndexCheck {
    /// The numbers of the tables whose indexes were found right since ``forget(_:)``.
    private var right: Set<Int> = []

    /// Checks the indexes of a table, unless they were found right a short time ago.
    ///
    /// Reads the whole table: 200 000 rows take about a second.
    ///
    /// - Throws: ``OwnDamage`` when an index is damaged, and what SQLite reports.
    func check(_ plan: TablePlan, on connection: Connection) throws {
        guard !self.right.contains(plan.definition.number) else { return }
        var isDamaged = false
        // Other findings, as of a CHECK that old rows do not fulfil, are not about an index.
        try connection.query(plan.sql.integrityCheck).forEach { row in
            if row.string(0).contains("index") { isDamaged = true }
        }
        guard !isDamaged else { throw OwnDamage.index(of: plan.definition.number) }
        self.right.insert(plan.definition.number)
    }

    /// Has the indexes of a table checked again at the next occasion.
    func forget(_ plan: TablePlan) { self.right.remove(plan.definition.number) }
}
