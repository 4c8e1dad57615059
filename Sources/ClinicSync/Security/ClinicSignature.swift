import ClinicSyncModel
import Crypto
import X509

// What proves a statement of the clinic: the certificates of the signer, and its signature over all before it.
//
//     chain count 1, each length 2 and DER; signature 64
//
// The signature is ECDSA with SHA-256, r and s of 32 bytes each, by the key of the authority (no chain) or of the grant in
// the chain.
extension StatementReader {
    /// Reads the proof, which is the rest of the statement.
    ///
    /// - Returns: The node that signed by a grant; `nil` for the authority.
    /// - Throws: ``Malformed``, and the cryptographic library's errors, unless a node with the right to sign has signed.
    mutating func signer(authority: ClinicAuthority) throws -> NodeID? {
        let grants = try (0..<Int(self.integer(1))).map { _ in Array(try self.take(Int(self.integer(2)))) }
        let signed = self.consumed
        let signature = try P256.Signing.ECDSASignature(rawRepresentation: self.take(64))
        guard self.isAtEnd, grants.count <= 1 else { throw Malformed() }
        let grant = try grants.first.map { try SigningGrant(verifying: $0, authority: authority) }
        let key = P256.Signing.PublicKey((grant?.certificate ?? authority.certificate).publicKey)
        guard let key, key.isValidSignature(signature, for: signed) else { throw Malformed() }
        return grant?.node
    }
}

extension LeafIssuer {
    /// Returns `bytes` with their proof.
    ///
    /// - Throws: The cryptographic library's error.
    func signed(_ bytes: [UInt8]) throws -> [UInt8] {
        var bytes = bytes + StatementBytes.encoded(UInt64(self.chain.count), 1)
        for certificate in self.chain { bytes += StatementBytes.encoded(UInt64(certificate.count), 2) + certificate }
        return bytes + Array(try self.signingKey.key.signature(for: bytes).rawRepresentation)
    }
}
