import ClinicSyncModel

/// The reason why a node continues in a new incarnation.
package enum Rebirth: String, Sendable, Hashable {
    /// The file's place is not the place where it was last opened: it is a copy, or came from a backup.
    case moved
    /// The node has used numbers that the file does not know: the file came from a backup.
    case older
    /// Another node had other batches under this node's numbers.
    case forked
}

/// Decides in which incarnation a node makes its batches.
enum Incarnation {
    /// The decision when a file is opened at a place.
    struct Bound {
        var origin: Origin
        var rebirth: Rebirth?
    }

    /// Decides in which incarnation the node continues, and records the decision.
    static func bind(
        _ origin: Origin,
        to place: StorePlace,
        witness: NumberWitness,
        in transaction: borrowing WriteTransaction
    ) throws -> Bound {
        let connection = transaction.connection
        let recorded = try Settings.read(.incarnation, on: connection) { $0.number(0, in: 0...UInt32.max) }
        let incarnation = (recorded ?? nil) ?? 0
        let fingerprint = try Settings.read(.place, on: connection) { Array($0.blob(0)) }
        let renounced = try Settings.read(.renounced, on: connection) { $0.number(0, in: 0...UInt32.max) }
        let current = Origin(node: origin.node, incarnation: incarnation)
        let isOlder = try witness.read().map { try self.isOlder(than: $0, current, on: connection) } ?? false
        var rebirth: Rebirth?
        if let fingerprint, fingerprint != place.fingerprint {
            rebirth = .moved
        } else if case .some(nil) = recorded {
            // The record is damaged: nobody knows which numbers were used.
            rebirth = .older
        } else if case .some(incarnation) = renounced {
            rebirth = .forked
        } else if fingerprint != nil, isOlder {
            rebirth = .older
        }
        let next = rebirth == nil ? current : self.next(after: current, at: place)
        try Settings.set(.place, to: .blob(place.fingerprint), in: transaction)
        try Settings.set(.incarnation, to: .integer(Int64(next.incarnation)), in: transaction)
        return Bound(origin: next, rebirth: rebirth)
    }

    /// Whether the file lacks numbers that were used.
    ///
    /// The witness can name a former incarnation that the file knows. This is no sign of an older file: a power cut has
    /// undone a later write of the witness.
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

    private static func next(after current: Origin, at place: StorePlace) -> Origin {
        Origin(node: current.node, incarnation: place.incarnations?() ?? self.newIncarnation())
    }

    /// A random number, so that no copy of this file gets the same incarnation.
    private static func newIncarnation() -> UInt32 {
        var generator = SystemRandomNumberGenerator()
        return UInt32.random(in: 1 ... .max, using: &generator)
    }

    /// Records that another node used the numbers of this incarnation: the next opening begins another incarnation.
    static func renounce(_ origin: Origin, in transaction: borrowing WriteTransaction) throws {
        try Settings.set(.renounced, to: .integer(Int64(origin.incarnation)), in: transaction)
    }

    /// Writes the node's id into a new file, and refuses the file of another node.
    static func claim(for origin: Origin, in transaction: borrowing WriteTransaction) throws {
        guard let owner = try Settings.read(.node, on: transaction.connection, { $0.string(0) }) else {
            return try Settings.set(.node, to: .string(origin.node.description), in: transaction)
        }
        guard owner == origin.node.description else {
            throw StoreError(
                code: .wrongNode,
                message: "The database clinic.db belongs to another node: put this node's own file back, or join again."
            )
        }
    }
}

/// The term of the reign that the node last claimed or followed.
enum Term {
    /// The highest recorded term; 0 when no term is recorded, or none that can be.
    ///
    /// Peers tell a node whose record is damaged which term there is.
    static func recorded(on connection: Connection) throws -> UInt64 {
        try Settings.read(.term, on: connection) { $0.number(0, in: 0...Bounds.termMax) ?? 0 } ?? 0
    }

    /// Records a term.
    static func record(_ term: UInt64, in transaction: borrowing WriteTransaction) throws {
        try Settings.set(.term, to: .integer(Int64(bitPattern: term)), in: transaction)
    }
}
