package import ClinicSyncModel
package import Crypto
import Foundation
package import NIOSSL
package import X509

/// A P-256 private key of a node or of a clinic's authority.
///
/// Printing a value never prints the key.
package struct SigningKey: Sendable, CustomStringConvertible, CustomReflectable {
    /// The private key itself.
    package let key: P256.Signing.PrivateKey

    /// Generates a new key.
    package init() { self.key = P256.Signing.PrivateKey() }

    /// Reads the PEM form.
    ///
    /// - Throws: The cryptographic library's error, which never contains a part of the key.
    package init(pem: String) throws { self.key = try P256.Signing.PrivateKey(pemRepresentation: pem) }

    /// The PKCS #8 form in PEM, a secret.
    package var pem: String { self.key.pemRepresentation + "\n" }

    /// The id derived from the public key.
    package var id: NodeID { NodeID(publicKey: self.key.publicKey) }

    /// The private key, for signing certificates.
    package var certificateKey: Certificate.PrivateKey { Certificate.PrivateKey(self.key) }

    /// The public key, as certificates hold it.
    package var publicKey: Certificate.PublicKey { Certificate.PublicKey(self.key.publicKey) }

    /// The private key, for TLS.
    package func tlsKey() throws -> NIOSSLPrivateKey {
        try NIOSSLPrivateKey(bytes: Array(self.key.derRepresentation), format: .der)
    }

    /// The id, which is public.
    package var description: String { "key of \(self.id)" }

    /// An empty mirror, so that a dump of a value that holds the key does not show the key.
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}

extension NodeID {
    /// Derives the id from a public key.
    ///
    /// The id is the first 16 bytes of the SHA-256 of the key's SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) in DER.
    package init(publicKey: P256.Signing.PublicKey) {
        let digest = Array(SHA256.hash(data: publicKey.derRepresentation).prefix(16))
        guard let id = NodeID(bytes: digest) else { preconditionFailure("a SHA-256 has more than 16 bytes") }
        self = id
    }

    /// Derives the id of a certificate's key; `nil` for any key other than P-256.
    package init?(publicKey: Certificate.PublicKey) {
        guard let key = P256.Signing.PublicKey(publicKey) else { return nil }
        self.init(publicKey: key)
    }
}
