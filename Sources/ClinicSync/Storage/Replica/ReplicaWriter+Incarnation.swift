import ClinicSyncModel

/// Why a node goes on in a new incarnation.
package enum Rebirth: String, Sendable, Hashable {
    /// The file was opened at another place than before: it is a copy, or came from a backup.
    case moved
    /// The file is older than the numbers that were used since: it came from a backup.
    case older
    /// Somebody had other batches under this node's numbers.
    case forked
}

/// In which incarnation a node's own batches are made.
extension ReplicaWriter {
    private static let placeSetting = "place"
    private static let incarnationSetting = "incarnation"
    private static let renouncedSetting = "renounced"

    /// What opening at a place decides.
    struct Bound {
        var origin: Origin
        var rebirth: Rebirth?
    }

    /// Decides in which incarnation the node goes on, and writes it down.
    ///
    /// Runs inside a write transaction.
    static func bind(
        _ connection: Connection,
        _ origin: Origin,
        to place: StorePlace,
        witness: NumberWitness
    ) throws -> Bound {
        let incarnation =
            try connection.statement("SELECT value FROM clinicsync_setting WHERE name = ?1")
            .bind(1, text: self.incarnationSetting)
            .first { UInt32(truncatingIfNeeded: $0.int64(0)) } ?? 0
        let fingerprint = try connection.statement("SELECT value FROM clinicsync_setting WHERE name = ?1")
            .bind(1, text: self.placeSetting)
            .first { Array($0.blob(0)) }
        let renounced = try connection.statement("SELECT value FROM clinicsync_setting WHERE name = ?1")
            .bind(1, text: self.renouncedSetting)
            .first { UInt32(truncatingIfNeeded: $0.int64(0)) }
        let current = Origin(node: origin.node, incarnation: incarnation)
        let noted = witness.read()
        let number = try self.highestNumber(of: current, connection)
        let isOlder = noted.map { $0.incarnation != incarnation || $0.number > number } ?? false
        var rebirth: Rebirth?
        if let fingerprint, fingerprint != place.fingerprint {
            rebirth = .moved
        } else if renounced == incarnation {
            rebirth = .forked
        } else if fingerprint != nil, isOlder {
            rebirth = .older
        }
        let next = rebirth == nil ? current : Origin(node: origin.node, incarnation: self.newIncarnation())
        try self.set(self.placeSetting, to: .blob(place.fingerprint), connection)
        try self.set(self.incarnationSetting, to: .integer(Int64(next.incarnation)), connection)
        return Bound(origin: next, rebirth: rebirth)
    }

    /// A number that no copy of this file can have drawn as well.
    private static func newIncarnation() -> UInt32 {
        var generator = SystemRandomNumberGenerator()
        return UInt32.random(in: 1 ... .max, using: &generator)
    }

    private static func highestNumber(of origin: Origin, _ connection: Connection) throws -> UInt64 {
        try connection
            .statement(
                """
                SELECT max(o.sequence, coalesce((SELECT max(l.sequence) FROM clinicsync_log l WHERE l.origin = o.id), 0))
                FROM clinicsync_origin o WHERE o.node = ?1 AND o.incarnation = ?2
                """
            )
            .bind(1, blob: self.bytes(of: origin.node))
            .bind(2, origin.incarnation)
            .first { $0.unsigned(0) } ?? 0
    }

    /// The highest number of an own batch, one that is not complete included.
    func highestNumber() throws -> UInt64 {
        try ReplicaWriter.highestNumber(of: self.origin, self.connection)
    }

    /// Lays down a setting.
    static func set(_ name: String, to value: SQLiteValue, _ connection: Connection) throws {
        try connection
            .statement(
                "INSERT INTO clinicsync_setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2"
            )
            .bind(1, text: name)
            .bind(2, value)
            .run()
    }

    /// Lays down that the numbers of this incarnation were used by somebody else: the next opening begins another.
    ///
    /// - Throws: ``StoreError``.
    func renounceIncarnation() throws {
        try self.durably {
            try self.transaction {
                let incarnation = SQLiteValue.integer(Int64(self.origin.incarnation))
                try ReplicaWriter.set(ReplicaWriter.renouncedSetting, to: incarnation, self.connection)
            }
        }
    }

    /// Whether a batch carries this node's own name and a number that it has not used.
    ///
    /// Nobody can know it but from a former self of this node, whose later batches this file has lost.
    func isOfFormerSelf(_ batch: BatchID) throws -> Bool {
        guard batch.origin == self.origin else { return false }
        return try batch.sequence > self.highestNumber()
    }

    /// Notes the highest number used, after a commit.
    func noteNumber() {
        guard let witness else { return }
        let number = max(self.ledger.origins[self.ownID].sequence, self.highestLogged)
        witness.note(NumberWitness.Entry(incarnation: self.origin.incarnation, number: number))
    }
}
