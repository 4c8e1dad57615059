import ClinicSyncCore

/// A sync that a run leaves out: its checkers must miss it.
package enum MissingSync: String, Sendable, Hashable, CaseIterable {
    /// That of the write-ahead log at the commit of an own batch that a collection or a login made.
    case collection
    /// That of the write-ahead log at the commit of an own batch that was collected on the way of storing or merging.
    case merge
    /// That at the commit of a term.
    case term
    /// That at the end of an isolation.
    case restamp
    /// Those of closing.
    case closing
    /// Those of the write-ahead log before a checkpoint copies from it.
    case checkpointLog
    /// Those of the database after a checkpoint has copied to it.
    case checkpointFile
    /// Those of the directory after a file was made.
    case directory

    /// What a node does while it carries out a request.
    static func of(_ request: StorageRequest) -> MissingSync? {
        switch request {
        case .collect, .sweep, .decideLogin, .keepSessions: .collection
        case .store, .applyStored, .discard, .mergeRows: .merge
        case .recordTerm: .term
        case .restamp: .restamp
        case .prune: .checkpointLog
        default: nil
        }
    }

    /// Whether it is left out whatever the node does.
    var isOfEveryWork: Bool { self == .checkpointFile || self == .directory }

    /// The end of the name of the file whose syncs are left out.
    var file: String {
        switch self {
        case .checkpointFile: "clinic.db"
        case .directory: "/"
        default: "-wal"
        }
    }
}
