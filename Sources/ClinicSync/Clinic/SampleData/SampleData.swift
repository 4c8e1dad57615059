import ClinicSyncStorage
import Foundation
import GRDB

/// Made-up, realistic data of a clinic in the Philippines, for tests and demonstrations.
///
/// One seed gives the same people, visits and bills on any PC on the same day. The values that identify rows do not
/// depend on the seed: the tables' DEFAULT makes ids, and user names, invoice numbers and receipt numbers contain a
/// random tag. So the same seed on two PCs gives two sets of rows, and never two versions of one row.
package struct SampleData: Sendable {
    /// The number of written rows of a table.
    package struct Count: Sendable, Hashable, Codable {
        /// The table.
        package var name: String
        /// The number of inserted rows; for `clinic_services`, the number of rows with an increased counter.
        package var rows: Int
    }

    /// The number of patients in one transaction, with all related rows.
    ///
    /// The transaction holds the write lock for about 30 ms.
    static let patientsPerTransaction = 250
    /// Seconds to wait for another program's transaction.
    static let busyTimeoutSeconds: Double = 30

    private let seed: UInt64

    /// Makes a generator.
    package init(seed: UInt64) { self.seed = seed }

    /// Returns whether the clinic's tables are empty, apart from the services that every clinic begins with and the
    /// first user.
    ///
    /// - Throws: ``StoreError``.
    package static func isEmpty(path: String) throws -> Bool {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(self.busyTimeoutSeconds)
        return try StoreError.mapping {
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            defer { _ = Result { try queue.close() } }
            return try queue.read { db in
                for table in SampleTable.all {
                    let own = table.name == SampleTable.users.name ? 1 : 0
                    let hasRows = try Bool.fetchOne(
                        db,
                        sql: "SELECT EXISTS (SELECT 1 FROM \(table.name) LIMIT 1 OFFSET \(own))"
                    )
                    if hasRows == true { return false }
                }
                return true
            }
        }
    }

    /// Writes `patients` patients, with all related rows, into the existing database at `path`.
    ///
    /// The method writes like any program: through a separate connection with foreign keys on, in transactions that
    /// hold the write lock briefly. The node may run or not.
    ///
    /// - Returns: the rows of each of the thirteen tables, in the order of their names.
    /// - Throws: ``StoreError``; earlier commits remain.
    @discardableResult
    package func write(patients: Int, to path: String) throws -> [Count] {
        guard FileManager.default.fileExists(atPath: path) else { throw StoreError.missing }
        var configuration = Configuration()
        configuration.foreignKeysEnabled = true
        configuration.busyMode = .timeout(SampleData.busyTimeoutSeconds)
        configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = NORMAL") }
        return try StoreError.mapping {
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            defer { _ = Result { try queue.close() } }
            return try queue.writeWithoutTransaction { db in try self.write(patients, in: db) }
        }
    }

    private func write(_ patients: Int, in db: Database) throws -> [Count] {
        let writer = SampleWriter(db)
        var made: SampleClinic?
        try db.inTransaction(.immediate) {
            made = try SampleClinic(seed: self.seed, patients: patients, writer: writer, db: db)
            return .commit
        }
        guard let clinic = made else { return [] }
        var next = 0
        while next < patients {
            let end = min(next + SampleData.patientsPerTransaction, patients)
            try db.inTransaction(.immediate) {
                for number in next..<end { try clinic.addPatient(number) }
                return .commit
            }
            next = end
        }
        try db.inTransaction(.immediate) {
            try clinic.addDays()
            return .commit
        }
        let names = SampleTable.all.map(\.name) + [SampleWriter.services]
        return names.sorted().map { Count(name: $0, rows: writer.counts[$0] ?? 0) }
    }
}
