import GRDB
import Glibc

/// What is at the path of a node's database, before the node opens it as its own.
package enum DatabaseLook: Sendable, Hashable {
    /// A database of a node.
    case ofNode
    /// Nothing.
    case missing
    /// An empty file, or a database without the tables of a node.
    case foreign
    /// A file that SQLite cannot read.
    case damaged

    /// Looks at the file at `path`.
    ///
    /// It reads no more than the schema: damage elsewhere is found later. A write-ahead log of another time must be set aside
    /// before (``StaleLog``).
    ///
    /// - Throws: ``StoreError`` when the file cannot be looked at for another reason than damage.
    package static func at(_ path: String) throws -> DatabaseLook {
        var information = stat()
        guard stat(path, &information) == 0 else {
            // A link to a disk that is not there now is no missing file.
            guard lstat(path, &information) != 0, errno == ENOENT else { throw StoreError.missing }
            return .missing
        }
        do {
            let isOfNode = try DatabaseCopy.reading(path, patience: 0) { db in
                let connection = try Connection(db)
                defer { connection.finalizeStatements() }
                return try connection.hasTable("clinicsync_setting") && connection.hasTable("clinicsync_origin")
            }
            return isOfNode ? .ofNode : .foreign
        } catch let error as StoreError where error.code == .corrupt {
            return .damaged
        } catch let error as StoreError where error.code == .locked {
            // A program uses it as a database. Who opens it waits for that program.
            return .ofNode
        }
    }

    /// Whether SQLite can read all of the file: every page of every table and index.
    ///
    /// A row that breaks a CHECK, and an index that lacks a row, are no damage of the file: a new one would have the same row, and
    /// indexes are built again. It takes about a second for 100 MB.
    ///
    /// - Throws: ``StoreError`` when the file cannot be looked at for another reason than damage.
    package static func isIntact(_ path: String) throws -> Bool {
        do {
            return try DatabaseCopy.reading(path) { db in
                // SQLite says so of pages alone: "*** in database main ***", and what it found.
                try !String.fetchAll(db, sql: "PRAGMA integrity_check").contains { $0.hasPrefix("***") }
            }
        } catch let error as StoreError where error.code == .corrupt {
            return false
        }
    }

    /// What to tell people when the database stays as it is; `nil` for a database of a node.
    package var refusal: StoreError? {
        let remedy = "restore it with 'clinic-node restore FILE', or join again."
        return switch self {
        case .ofNode: nil
        case .missing: StoreError.missing
        case .foreign:
            StoreError(
                code: .wrongNode,
                message:
                    "The database clinic.db is empty or another program's: put this node's own file back, \(remedy)"
            )
        case .damaged:
            StoreError(code: .corrupt, message: "The database clinic.db is damaged or no SQLite file: \(remedy)")
        }
    }
}
