package import ClinicSyncCore
import GRDB

/// Why a store cannot be opened or cannot continue.
///
/// The message is one sentence that says what to do.
package struct StoreError: Error, Hashable, CustomStringConvertible {
    /// The kind of trouble.
    package enum Code: Sendable, Hashable {
        /// There is no database file.
        case missing
        /// There is a database file already.
        case exists
        /// The file is no database, or damaged.
        case corrupt
        /// No space is left.
        case diskFull
        /// The file or its directory cannot be written.
        case readOnly
        /// The disk reports errors.
        case failing
        /// The file was made by a newer program.
        case newerDatabase
        /// Another program keeps a write transaction open.
        case locked
        /// The manifest and the tables contradict each other.
        case schema
        /// The file belongs to another node.
        case wrongNode
        /// The file's content was replaced by another database's while the store had it open.
        case overwritten
        /// Anything else SQLite says.
        case database
    }

    /// The kind of trouble.
    package var code: Code
    /// One sentence.
    package var message: String

    /// Makes an error.
    package init(code: Code, message: String) {
        self.code = code
        self.message = message
    }

    /// The message.
    package var description: String { self.message }

    /// There is no database file.
    package static let missing = StoreError(
        code: .missing,
        message:
            "The database clinic.db is missing: restore it from a backup, or create the node again with 'clinic-node join'."
    )

    /// There is a database file already.
    package static let exists = StoreError(
        code: .exists,
        message: "A database clinic.db is already there: choose another directory."
    )

    /// The file's content was replaced while the store had it open.
    package static let overwritten = StoreError(
        code: .overwritten,
        message:
            "The database clinic.db was overwritten while the node ran: start the node again, on the new content."
    )

    /// Another program keeps a write transaction open.
    package static let locked = StoreError(
        code: .locked,
        message:
            "Another program keeps a write transaction in clinic.db open: save or discard the changes in that program, then try again."
    )

    /// Runs `body` and turns what SQLite says into an error for people.
    package static func mapping<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as DatabaseError {
            throw StoreError(code: Int32(error.extendedResultCode.rawValue), message: error.message ?? "unknown")
        } catch let failure as SQLiteFailure {
            throw StoreError(code: failure.code, message: failure.message)
        }
    }

    /// `SQLITE_IOERR_NOMEM`, which is no error of a disk.
    private static let noMemory: Int32 = 10 | 12 << 8

    /// What is wrong with the disk, when that is the trouble.
    package var diskFault: DiskFault? {
        switch self.code {
        case .diskFull: .full
        case .readOnly: .readOnly
        case .failing: .failing
        case .missing, .exists, .corrupt, .newerDatabase, .locked, .schema, .wrongNode, .overwritten, .database: nil
        }
    }

    /// The error of an SQLite result code.
    package init(code: Int32, message: String) {
        switch code & 0xff {
        case 26, 11:
            self.init(
                code: .corrupt,
                message:
                    "The database clinic.db is damaged or no SQLite file (\(message)): restore it from a backup, or join again."
            )
        // Busy, a lock of this process's own, and a lock that could not be had in time (SQLITE_PROTOCOL).
        case 5, 6, 15: self = .locked
        case 13:
            self.init(
                code: .diskFull,
                message: "The disk is full: free some space; nothing was lost and work goes on by itself."
            )
        case 8, 14, 3, 23:
            self.init(
                code: .readOnly,
                message:
                    "The database cannot be written (\(message)): check the permissions of clinic.db and its directory."
            )
        case 10 where code != StoreError.noMemory:
            self.init(
                code: .failing,
                message:
                    "The disk reports errors (\(message), code \(code)): check it with 'smartctl -a'; work goes on by itself when it does."
            )
        default:
            self.init(
                code: .database,
                message:
                    "SQLite reports '\(message)' (code \(code)): check the disk and the log, then start the node again."
            )
        }
    }
}
