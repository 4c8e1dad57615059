import ClinicSyncCore
import ClinicSyncModel

/// What the log keeps for peers that are being given this node's state: the table `clinicsync_pin`.
///
/// The state of a peer begins with a vector. The batches beyond it reach the peer from the log, when it has the state.
struct StatePins {
    /// A pin holds the log for so long after it was set last: a day.
    static let lifeMilliseconds: Int64 = 86_400_000
    /// Peers that hold the log at a time; the pin that was set first gives way.
    static let peersMax = 256

    /// This PC's time, milliseconds since 1970.
    let wallMilliseconds: Int64

    /// Keeps the log beyond `vector` for `peer`, in place of what was kept for it before.
    func set(_ peer: NodeID, _ vector: VersionVector, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                """
                INSERT INTO clinicsync_pin (peer, vector, since) VALUES (?1, ?2, ?3)
                ON CONFLICT (peer) DO UPDATE SET vector = ?2, since = ?3
                """
            )
            .bind(1, blob: peer.storedBytes)
            .bind(2, blob: VectorCoding.encode(vector))
            .bind(3, self.wallMilliseconds)
            .run()
        try transaction
            .statement(
                """
                DELETE FROM clinicsync_pin WHERE since NOT BETWEEN ?1 AND ?2
                OR peer IN (SELECT peer FROM clinicsync_pin ORDER BY since DESC LIMIT -1 OFFSET ?3)
                """
            )
            .bind(1, self.wallMilliseconds - StatePins.lifeMilliseconds)
            .bind(2, self.wallMilliseconds)
            .bind(3, StatePins.peersMax)
            .run()
    }

    /// Keeps the log for another day, if it is kept for `peer` beyond `vector`.
    func renew(_ peer: NodeID, _ vector: VersionVector, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("UPDATE clinicsync_pin SET since = ?3 WHERE peer = ?1 AND vector = ?2")
            .bind(1, blob: peer.storedBytes)
            .bind(2, blob: VectorCoding.encode(vector))
            .bind(3, self.wallMilliseconds)
            .run()
    }

    /// Ends the pins of members that have what their state began with.
    func release(_ members: [MemberProgress], in transaction: borrowing WriteTransaction) throws {
        for member in members {
            let pinned = try self.vector(of: member.node, on: transaction.connection)
            guard let pinned, member.vector.covers(pinned) else { continue }
            try transaction.statement("DELETE FROM clinicsync_pin WHERE peer = ?1")
                .bind(1, blob: member.node.storedBytes)
                .run()
        }
    }

    /// The batches that no pinned peer needs from the log; `nil` when the log is not pinned.
    ///
    /// - Throws: what SQLite reports. A pin that cannot be read holds nothing: its peer begins again.
    func floor(on connection: Connection) throws -> VersionVector? {
        var floor: VersionVector?
        try connection.query("SELECT vector FROM clinicsync_pin WHERE since BETWEEN ?1 AND ?2")
            .bind(1, self.wallMilliseconds - StatePins.lifeMilliseconds)
            .bind(2, self.wallMilliseconds)
            .forEach { row in
                guard let vector = StatePins.decode(row.blob(0)) else { return }
                floor = floor.map { $0.meet(vector) } ?? vector
            }
        return floor
    }

    private func vector(of peer: NodeID, on connection: Connection) throws -> VersionVector? {
        try connection.query("SELECT vector FROM clinicsync_pin WHERE peer = ?1")
            .bind(1, blob: peer.storedBytes)
            .first { StatePins.decode($0.blob(0)) } ?? nil
    }

    private static func decode(_ bytes: UnsafeRawBufferPointer) -> VersionVector? {
        do throws(MalformedRecord) {
            return try VectorCoding.decode(bytes)
        } catch {
            return nil
        }
    }
}
