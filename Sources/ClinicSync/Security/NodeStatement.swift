package import ClinicSyncModel
import Crypto
import X509

/// What a node says of itself, signed with its own key.
///
/// The statement decides what other nodes show of the node and where they look for it. The columns of the node's row in
/// `clinicsync_node` repeat it for programs, and any program can write the columns. The format, with big-endian integers:
///
///     magic "clinicsync node 1\n", clinic 16, node 16, number 8, public key 65 (SEC 1, uncompressed),
///     name (length 1), addresses (length 2, spaces between), software version (length 1), schema version 4,
///     alive at 8 (milliseconds since 1970); signature 64
///
/// The signature is ECDSA with SHA-256 over everything before it, r and s of 32 bytes each. The node's id is the hash of
/// the public key, so the statement needs no certificate.
package struct NodeStatement: Sendable, Hashable {
    /// What a node says of itself.
    package struct Facts: Sendable, Hashable {
        /// The node's name for people.
        package var name: String
        /// Where other nodes reach the node, the likeliest first.
        package var addresses: [String]
        /// The version of the node's program.
        package var softwareVersion: String
        /// The number of the newest migration in the node's program.
        package var schemaVersion: UInt32
        /// The day on which the node last ran, milliseconds since 1970.
        package var aliveAt: Int64

        /// Makes facts.
        package init(
            name: String,
            addresses: [String],
            softwareVersion: String,
            schemaVersion: UInt32,
            aliveAt: Int64
        ) {
            self.name = name
            self.addresses = addresses
            self.softwareVersion = softwareVersion
            self.schemaVersion = schemaVersion
            self.aliveAt = aliveAt
        }

        /// The facts as a statement of the node can have them: a name that is no name becomes the beginning of the id,
        /// and what is too long is left out.
        func fitting(_ node: NodeID) -> Facts {
            var facts = self
            if !DisplayName.isName(facts.name) { facts.name = String(node.description.prefix(8)) }
            facts.addresses = facts.addresses.filter { !$0.isEmpty && !$0.contains(" ") }
            while facts.addresses.joined(separator: " ").utf8.count > NodeStatement.addressBytesMax {
                facts.addresses.removeLast()
            }
            if facts.softwareVersion.utf8.count > NodeStatement.versionBytesMax { facts.softwareVersion = "" }
            facts.aliveAt = min(max(facts.aliveAt, 0), Revocation.millisecondsMax)
            return facts
        }
    }

    /// The largest size of a statement in bytes.
    package static let bytesMax = 1_024
    /// The largest size of all addresses in bytes.
    package static let addressBytesMax = 512
    /// The largest size of a program's version in bytes.
    package static let versionBytesMax = 64

    /// The clinic.
    package let clinic: NodeID
    /// The node.
    package let node: NodeID
    /// The larger number counts; see ``NameStatement`` for names that others gave.
    package let number: UInt64
    /// What the node says.
    package let facts: Facts
    /// The signed bytes.
    package let bytes: [UInt8]

    /// Returns which of two statements of a node every node keeps, whatever the order in which they arrive.
    func succeeds(_ other: NodeStatement) -> Bool {
        self.number == other.number
            ? other.bytes.lexicographicallyPrecedes(self.bytes) : self.number > other.number
    }

    /// Reads a statement and checks that the node signed it for this clinic.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused`.
    package init(verifying bytes: [UInt8], clinic: NodeID) throws {
        do {
            var reader = StatementReader(bytes)
            self = try NodeStatement(reading: &reader, clinic: clinic)
        } catch {
            throw ClinicSyncError(
                .refused,
                "The statement is not one that a node of this clinic signed: start that node, which signs a new one.",
                cause: error
            )
        }
    }

    private init(reading reader: inout StatementReader, clinic: NodeID) throws {
        guard reader.bytes.count <= NodeStatement.bytesMax,
            try reader.take(NodeStatement.magic.count) == NodeStatement.magic[...]
        else { throw StatementReader.Malformed() }
        self.clinic = try reader.id()
        self.node = try reader.id()
        self.number = try reader.integer(8)
        let key = try P256.Signing.PublicKey(x963Representation: reader.take(65))
        let name = try reader.text(lengthBytes: 1)
        let addresses = try reader.text(lengthBytes: 2)
        let version = try reader.text(lengthBytes: 1)
        let schemaVersion = UInt32(truncatingIfNeeded: try reader.integer(4))
        let aliveAt = try reader.integer(8)
        let signed = reader.consumed
        let signature = try P256.Signing.ECDSASignature(rawRepresentation: reader.take(64))
        guard reader.isAtEnd, self.clinic == clinic, self.node == NodeID(publicKey: key),
            self.number <= Revocation.numberMax, DisplayName.isName(name),
            addresses.utf8.count <= NodeStatement.addressBytesMax,
            version.utf8.count <= NodeStatement.versionBytesMax,
            aliveAt <= UInt64(Revocation.millisecondsMax),
            key.isValidSignature(signature, for: signed)
        else { throw StatementReader.Malformed() }
        self.facts = Facts(
            name: name,
            addresses: addresses.split(separator: " ").map(String.init),
            softwareVersion: version,
            schemaVersion: schemaVersion,
            aliveAt: Int64(clamping: aliveAt)
        )
        self.bytes = reader.bytes
    }

    /// Signs a statement.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused` for facts that do not fit; the cryptographic library's error.
    init(_ facts: Facts, number: UInt64, clinic: NodeID, key: SigningKey) throws {
        var bytes = NodeStatement.magic + clinic.bytes + key.id.bytes
        bytes += StatementBytes.encoded(min(number, Revocation.numberMax), 8)
        bytes += Array(key.key.publicKey.x963Representation)
        bytes += StatementBytes.encoded(facts.name, lengthBytes: 1)
        bytes += StatementBytes.encoded(facts.addresses.joined(separator: " "), lengthBytes: 2)
        bytes += StatementBytes.encoded(facts.softwareVersion, lengthBytes: 1)
        bytes += StatementBytes.encoded(UInt64(facts.schemaVersion), 4)
        bytes += StatementBytes.encoded(UInt64(clamping: facts.aliveAt), 8)
        bytes += Array(try key.key.signature(for: bytes).rawRepresentation)
        try self.init(verifying: bytes, clinic: clinic)
    }

    private static let magic = Array("clinicsync node 1\n".utf8)
}
