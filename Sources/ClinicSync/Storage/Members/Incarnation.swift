import ClinicSyncModel

/// Why a node continues in a new incarnation.
package enum Rebirth: String, Sendable, Hashable {
    /// The file was opened at another place than before: it is a copy, or came from a backup.
    case moved
    /// The file is older than the numbers that were used since: it came from a backup.
    case older
    /// Another node had other batches under this node's numbers.
    case forked
}

/// Decides in which incarnation a node's own batches are made.
enum Incarnation {
    /// What opening at a place decides.
    struct Bound {
        var origin: Origin
        var rebirth: Rebirth?
    }

    /// Decides in which incarnation the node continues, and writes it down.
    static func bind(
        _ origin: Origin,
        to place: StorePlace,
        witness: NumberWitness,
        in transaction: borrowing WriteTransaction
    ) throws -> Bound {
        let connection = transaction.connection
        let incarnation =
            try Settings.read(.incarnation, on: connection) { UInt32(truncatingIfNeeded: $0.int64(0)) } ?? 0
        let fingerprint = try Settings.read(.place, on: connection) { Array($0.blob(0)) }
        let renounced = try Settings.read(.renounced, on: connection) { UInt32(truncatingIfNeeded: $0.int64(0)) }
        let current = Origin(node: origin.node, incarnation: incarnation)
        let isOlder = try witness.read().map { try self.isOlder(than: $0, current, on: connection) } ?? false
        var rebirth: Rebirth?
        if let fingerprint, fingerprint != place.fingerprint {
            rebirth = .moved
        } else if renounced == incarnation {
            rebirth = .forked
        } else if fingerprint != nil, isOlder {
            rebirth = .older
        }
        let next = rebirth == nil ? current : Origin(node: origin.node, incarnation: self.newIncarnation())
        try Settings.set(.place, to: .blob(place.fingerprint), in: transaction)
        try Settings.set(.incarnation, to: .integer(Int64(next.incarnation)), in: transaction)
        return Bound(origin: next, rebirth: rebirth)
    }

    /// Whether the file lacks numbers that were used.
    ///
    /// A former incarnation that the file knows says nothing: a power cut took a later write of the witness.
    private static func isOlder(
        than noted: NumberWitness.Entry,
        _ current: Origin,
        on connection: Connection
    ) throws -> Bool {
        if noted.incarnation == current.incarnation {
            return try noted.number > BatchLog.highestNumber(of: current, on: connection)
        }
        let isKnown: Bool? =
            try connection
            .query("SELECT 1 FROM clinicsync_origin WHERE node = ?1 AND incarnation = ?2")
            .bind(1, blob: current.node.storedBytes)
            .bind(2, noted.incarnation)
            .first { _ in true }
        return isKnown == nil
    }

    /// A number that no copy of this file can have drawn as well.
    private static func newIncarnation() -> UInt32 {
        var generator = SystemRandomNumberGenerator()
        return UInt32.random(in: 1 ... .max, using: &generator)
    }

    /// Writes down that another node used the numbers of this incarnation: the next opening begins another incarnation.
    static func renounce(_ origin: Origin, in transaction: borrowing WriteTransaction) throws {
        try Settings.set(.renounced, to: .integer(Int64(origin.incarnation)), in: transaction)
    }

    /// Writes the node's id into a new file; refuses the file of another node.
    static func claim(for origin: Origin, in transaction: borrowing WriteTransaction) throws {
        guard let owner = try Settings.read(.node, on: transaction.connection, { $0.string(0) }) else {
            return try Settings.set(.node, to: .string(origin.node.description), in: transaction)
        }
        guard owner == origin.node.description else {
            throw StoreError(
                code: .wrongNode,
                message: "The database clinic.db belongs to another node: put this node's own file back, or join anew."
            )
        }
    }
}

/// The term: the reign of a host that the node last claimed or followed.
enum Term {
    /// The highest term that was recorded; 0 when none was.
    static func recorded(on connection: Connection) throws -> UInt64 {
        try Settings.read(.term, on: connection) { $0.unsigned(0) } ?? 0
    }

    /// Records a term.
    static func record(_ term: UInt64, in transaction: borrowing WriteTransaction) throws {
        try Settings.set(.term, to: .integer(Int64(bitPattern: term)), in: transaction)
    }
}
