package import ClinicSyncModel
import Crypto
import X509

/// A name that a node with the right to sign gave to another node.
///
/// The format, with big-endian integers:
///
///     magic "clinicsync name 1\n", clinic 16, node 16, number 8, name (length 1),
///     chain count 1, each length 2 and DER; signature 64
///
/// The signature is ECDSA with SHA-256 over everything before it, r and s of 32 bytes each, by the key of the authority
/// (no chain) or of the grant in the chain. The name counts while its number is at least that of the node's own
/// statement. A node that adopts the name signs a statement with a larger number.
package struct NameStatement: Sendable, Hashable {
    /// The largest size of a statement in bytes.
    package static let bytesMax = 8 << 10

    /// The clinic.
    package let clinic: NodeID
    /// The node that gets the name.
    package let node: NodeID
    /// One more than the largest number that the signer knew.
    package let number: UInt64
    /// The name.
    package let name: String
    /// The node that signed; `nil` means the authority.
    package let signer: NodeID?
    /// The signed bytes.
    package let bytes: [UInt8]

    /// Returns which of two names for a node every node keeps, whatever the order in which they arrive.
    func succeeds(_ other: NameStatement) -> Bool {
        self.number == other.number
            ? other.bytes.lexicographicallyPrecedes(self.bytes) : self.number > other.number
    }

    /// Reads a statement and checks that a node with the right to sign signed it.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused`.
    package init(verifying bytes: [UInt8], authority: ClinicAuthority) throws {
        do {
            var reader = StatementReader(bytes)
            self = try NameStatement(reading: &reader, authority: authority)
        } catch {
            throw ClinicSyncError(
                .refused,
                "The name is not one that this clinic signed: rename the node again with clinic-node nodes rename.",
                cause: error
            )
        }
    }

    private init(reading reader: inout StatementReader, authority: ClinicAuthority) throws {
        guard reader.bytes.count <= NameStatement.bytesMax,
            try reader.take(NameStatement.magic.count) == NameStatement.magic[...]
        else { throw StatementReader.Malformed() }
        self.clinic = try reader.id()
        self.node = try reader.id()
        self.number = try reader.integer(8)
        self.name = try reader.text(lengthBytes: 1)
        let count = try reader.integer(1)
        guard count <= 1, self.clinic == authority.id, self.number <= Revocation.numberMax,
            DisplayName.isName(self.name)
        else { throw StatementReader.Malformed() }
        var grant: SigningGrant?
        if count == 1 {
            let bytes = Array(try reader.take(Int(clamping: reader.integer(2))))
            grant = try SigningGrant(verifying: bytes, authority: authority)
        }
        let signed = reader.consumed
        let signature = try P256.Signing.ECDSASignature(rawRepresentation: reader.take(64))
        let key = P256.Signing.PublicKey((grant?.certificate ?? authority.certificate).publicKey)
        guard reader.isAtEnd, let key, key.isValidSignature(signature, for: signed) else {
            throw StatementReader.Malformed()
        }
        self.signer = grant?.node
        self.bytes = reader.bytes
    }

    /// Signs a name.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused` when the text is no name; the cryptographic library's error.
    init(_ name: String, for node: NodeID, number: UInt64, authority: ClinicAuthority, issuer: LeafIssuer) throws {
        var bytes = NameStatement.magic + authority.id.bytes + node.bytes
        bytes += StatementBytes.encoded(min(number, Revocation.numberMax), 8)
        bytes += StatementBytes.encoded(name, lengthBytes: 1)
        bytes += StatementBytes.encoded(UInt64(issuer.chain.count), 1)
        for certificate in issuer.chain { bytes += StatementBytes.encoded(UInt64(certificate.count), 2) + certificate }
        bytes += Array(try issuer.signingKey.key.signature(for: bytes).rawRepresentation)
        try self.init(verifying: bytes, authority: authority)
    }

    private static let magic = Array("clinicsync name 1\n".utf8)
}
