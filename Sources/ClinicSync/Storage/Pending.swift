package import ClinicSyncModel
import ClinicSchema
package import Foundation
import GRDB
import GRDBSQLite

package enum SQLiteReplicaStore {
    package static func create(at url: URL, origin: Origin) throws {
        let queue = try DatabaseQueue(path: url.path)
        try queue.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA journal_mode=WAL")
            for migration in ClinicSchema.migrations { try database.execute(sql: migration.sql) }
        }
        chmod(url.path, 0o600)
    }
}

package enum DatabaseDigest {
    package static func compute(path: String, table: String?) throws -> [TableDigest] {
        try DatabaseQueue(path: path).read { database in
            try String.fetchAll(
                database,
                sql: "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'clinicsync%' ORDER BY name"
            ).filter { table == nil || $0 == table }.map { name in
                let rows = try Int.fetchOne(database, sql: "SELECT count(*) FROM \(name)") ?? 0
                return TableDigest(name: name, rows: UInt64(rows), digest: Digest(high: 0, low: UInt64(rows)))
            }
        }
    }
}

package struct SampleData {
    private let seed: UInt64
    package init(seed: UInt64) { self.seed = seed }
    package func write(patients: Int, to path: String) throws {
        try DatabaseQueue(path: path).write { database in
            for number in 0..<patients {
                try database.execute(sql: "INSERT INTO patients(fullName) VALUES (?)", arguments: ["P\(number)"])
            }
        }
    }
}
