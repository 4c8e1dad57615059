package import ClinicSyncModel
import Foundation

/// A signed statement that a node is no longer a member of the clinic.
///
/// The signature proves the bytes, so nodes may send and store them anywhere. The format, with big-endian integers:
///
///     magic "clinicsync revocation 1\n", clinic 16, number 8, node 16, revoked at 8 (milliseconds since 1970),
///     vouched count 2, each 16, ascending; chain count 1, each length 2 and DER; signature 64
///
/// The signature is ECDSA with SHA-256 over everything before it, r and s of 32 bytes each, by the key of the authority
/// (no chain) or of the grant in the chain.
package struct Revocation: Sendable, Hashable {
    /// The largest number of members that a revocation can vouch for.
    package static let vouchedMax = 1_024
    /// The largest size of a revocation in bytes.
    package static let bytesMax = 32 << 10

    /// The largest ``number``: the largest integer that SQLite can store.
    package static let numberMax = UInt64(Int64.max)
    /// The largest ``revokedAt``: the largest value that a stamp can hold.
    package static let millisecondsMax: Int64 = 1 << 47 - 1

    /// The clinic.
    package let clinic: NodeID
    /// One more than the largest number that the signer knew.
    package let number: UInt64
    /// The revoked node.
    package let node: NodeID
    /// The time of the revocation in milliseconds since 1970, by the signer's clock.
    package let revokedAt: Int64
    /// The nodes whose certificates stay valid although the revoked node signed them; ascending.
    package let vouched: [NodeID]
    /// The node that signed; `nil` means the authority.
    package let signer: NodeID?
    /// The signed bytes.
    package let bytes: [UInt8]

    /// Returns whether certificates that the revoked node signed for `node` stay valid.
    func vouches(for node: NodeID) -> Bool { self.vouched.contains(node) }

    /// Returns which of two revocations of the same node every node keeps, independent of the arrival order.
    ///
    /// A revocation by the authority wins over other revocations. Between two revocations of the same rank, the smaller
    /// number wins.
    func precedes(_ other: Revocation) -> Bool {
        if (self.signer == nil) != (other.signer == nil) { return self.signer == nil }
        return self.number == other.number
            ? self.bytes.lexicographicallyPrecedes(other.bytes) : self.number < other.number
    }

    /// Reads a revocation and checks that a node with the right to sign signed it.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused`.
    package init(verifying bytes: [UInt8], authority: ClinicAuthority) throws {
        do {
            var reader = StatementReader(bytes)
            self = try Revocation(reading: &reader, authority: authority)
        } catch {
            throw ClinicSyncError(
                .refused,
                "The revocation is not one that this clinic signed: revoke the node again with clinic-node nodes revoke.",
                cause: error
            )
        }
    }

    private init(reading reader: inout StatementReader, authority: ClinicAuthority) throws {
        guard reader.bytes.count <= Revocation.bytesMax else { throw StatementReader.Malformed() }
        guard try reader.take(Revocation.magic.count) == Revocation.magic[...] else {
            throw StatementReader.Malformed()
        }
        self.clinic = try reader.id()
        self.number = try reader.integer(8)
        // SQLite must store this number, and the next number is larger by one.
        guard self.number <= Revocation.numberMax else { throw StatementReader.Malformed() }
        self.node = try reader.id()
        self.revokedAt = Int64(bitPattern: try reader.integer(8))
        guard (0...Revocation.millisecondsMax).contains(self.revokedAt) else { throw StatementReader.Malformed() }
        let count = Int(try reader.integer(2))
        guard count <= Revocation.vouchedMax else { throw StatementReader.Malformed() }
        var vouched = [NodeID]()
        for _ in 0..<count {
            let node = try reader.id()
            if let last = vouched.last, last >= node { throw StatementReader.Malformed() }
            vouched.append(node)
        }
        self.vouched = vouched
        guard self.clinic == authority.id else { throw StatementReader.Malformed() }
        self.signer = try reader.signer(authority: authority)
        self.bytes = reader.bytes
    }

    /// Signs a revocation.
    ///
    /// - Throws: ``ClinicSyncError`` of code `usage` when it would vouch for more than ``vouchedMax`` members.
    init(
        of node: NodeID,
        number: UInt64,
        at now: Int64,
        vouching: [NodeID],
        authority: ClinicAuthority,
        issuer: LeafIssuer
    ) throws {
        let vouched = Set(vouching).subtracting([node]).sorted()
        guard vouched.count <= Revocation.vouchedMax else {
            throw ClinicSyncError(
                .usage,
                "A clinic has at most \(Revocation.vouchedMax) members: revoke those that are gone first."
            )
        }
        var bytes = Revocation.magic + authority.id.bytes
        bytes += StatementBytes.encoded(number, 8) + node.bytes + StatementBytes.encoded(UInt64(bitPattern: now), 8)
        bytes += StatementBytes.encoded(UInt64(vouched.count), 2)
        for node in vouched { bytes += node.bytes }
        try self.init(verifying: try issuer.signed(bytes), authority: authority)
    }

    private static let magic = Array("clinicsync revocation 1\n".utf8)
}
