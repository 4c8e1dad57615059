/// What went wrong, as people and programs are told.
///
/// Two errors are equal when their codes are. `message` is one sentence that says what to do; it never holds the
/// value of a row or a secret.
public struct ClinicSyncError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of an error; more may be added, so a switch over it needs a default.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case portInUse, addressNotAllowed, malformedAddress, notReachable, refused, configuration, storage
            case notANode, alreadyRunning, newerDatabase, corrupt, diskFull, permission, timeout, usage, revoked
            case enrollmentRefused, notFound, sessionConflict, databaseReplaced, numbersTaken, broughtBack
        }

        private let value: Value

        /// Another program listens on the port.
        public static let portInUse = Code(value: .portInUse)
        /// Nodes must not listen on, dial or accept this address.
        public static let addressNotAllowed = Code(value: .addressNotAllowed)
        /// The text is no address with a port.
        public static let malformedAddress = Code(value: .malformedAddress)
        /// No node answers at the address.
        public static let notReachable = Code(value: .notReachable)
        /// The other side, or a rule, says no.
        public static let refused = Code(value: .refused)
        /// A setting is wrong or contradicts another.
        public static let configuration = Code(value: .configuration)
        /// The database could not do something.
        public static let storage = Code(value: .storage)
        /// The directory holds no node.
        public static let notANode = Code(value: .notANode)
        /// An agent already runs on the directory.
        public static let alreadyRunning = Code(value: .alreadyRunning)
        /// A newer version of the program made the database.
        public static let newerDatabase = Code(value: .newerDatabase)
        /// A file is damaged.
        public static let corrupt = Code(value: .corrupt)
        /// There is no space left.
        public static let diskFull = Code(value: .diskFull)
        /// The account lacks a right.
        public static let permission = Code(value: .permission)
        /// Something took longer than allowed.
        public static let timeout = Code(value: .timeout)
        /// A command was called wrongly.
        public static let usage = Code(value: .usage)
        /// A join code or a renewal was refused by the node that was asked.
        public static let enrollmentRefused = Code(value: .enrollmentRefused)
        /// There is nothing of that name.
        public static let notFound = Code(value: .notFound)
        /// The user is logged in on another PC.
        public static let sessionConflict = Code(value: .sessionConflict)
        /// The database file was replaced, moved or deleted while the node ran.
        public static let databaseReplaced = Code(value: .databaseReplaced)
        /// Other PCs have other changes under this PC's numbers; the next run uses new numbers.
        public static let numbersTaken = Code(value: .numbersTaken)
        /// The whole clinic was brought back to a backup; the next run follows, with a new database.
        public static let broughtBack = Code(value: .broughtBack)
        /// This PC was removed from the clinic.
        public static let revoked = Code(value: .revoked)

        /// The code's name, stable across versions.
        public var description: String { self.value.rawValue }
    }

    /// The kind.
    public let code: Code
    /// One sentence for people that says what to do.
    public let message: String
    /// The error that led to this one.
    public let cause: (any Error)?
    /// Where it was made, `file:line`.
    public let location: String

    /// Makes an error.
    public init(
        _ code: Code,
        _ message: String,
        cause: (any Error)? = nil,
        file: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.cause = cause
        self.location = "\(file):\(line)"
    }

    /// This PC was removed from the clinic: what a node says when it stops itself, and will not start again.
    package static func removedFromClinic(file: String = #fileID, line: Int = #line) -> ClinicSyncError {
        ClinicSyncError(
            .revoked,
            "This PC was removed from the clinic: to bring it back, join again with a new code into another directory.",
            file: file,
            line: line
        )
    }

    /// The sentence for people.
    public var description: String { self.message }

    /// Compares the codes.
    public static func == (left: ClinicSyncError, right: ClinicSyncError) -> Bool {
        left.code == right.code
    }

    /// Hashes the code.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.code)
    }
}
