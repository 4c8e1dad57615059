import ClinicSyncModel
import Crypto
import Foundation

/// Proof that a PC has a join code, for one TLS connection and one certificate request only.
///
/// NIOSSL has no TLS exporter (RFC 9266). So the proof covers a fresh number and both peers' certificates. The TLS 1.3
/// handshake proves that both peers hold the private keys (compare tls-server-end-point, RFC 5929). So a recorded proof
/// is useless on any other connection, to any other host, and for any other key. HKDF (RFC 5869) derives the keys from
/// the code's secret.
enum JoinProof {
    /// Derives the key that an invitation stores.
    ///
    /// The key checks proofs; nobody can compute the secret from it.
    static func key(secret: [UInt8]) -> SymmetricKey {
        JoinProof.derived(secret, "clinicsync join 1 proof", 32)
    }

    /// Derives the id of the invitation that a secret belongs to.
    ///
    /// Nobody can compute the secret from it.
    static func invitationID(secret: [UInt8]) -> [UInt8] {
        JoinProof.derived(secret, "clinicsync join 1 id", JoinRequest.invitationIDBytes).withUnsafeBytes(Array.init)
    }

    /// Makes the proof.
    ///
    /// - Parameters:
    ///   - key: the invitation's key.
    ///   - host: the host's certificate in DER.
    ///   - asker: the asking PC's certificate in DER.
    ///   - nonce: the number from the host's challenge.
    ///   - certificateRequest: the request for a certificate.
    /// - Returns: The 32 bytes.
    static func make(
        key: SymmetricKey,
        host: [UInt8],
        asker: [UInt8],
        nonce: [UInt8],
        certificateRequest: [UInt8]
    ) -> [UInt8] {
        let message = JoinProof.message(host, asker, nonce, certificateRequest)
        return Array(HMAC<SHA256>.authenticationCode(for: message, using: key))
    }

    /// Returns whether `proof` is correct for ``make(key:host:asker:nonce:certificateRequest:)``.
    ///
    /// The check takes the same time for every wrong proof.
    static func isValid(
        _ proof: [UInt8],
        key: SymmetricKey,
        host: [UInt8],
        asker: [UInt8],
        nonce: [UInt8],
        certificateRequest: [UInt8]
    ) -> Bool {
        let message = JoinProof.message(host, asker, nonce, certificateRequest)
        return HMAC<SHA256>.isValidAuthenticationCode(proof, authenticating: message, using: key)
    }

    /// Every part except the last has a fixed length, and so do the hashes.
    ///
    /// So two different inputs never give the same message.
    private static func message(
        _ host: [UInt8],
        _ asker: [UInt8],
        _ nonce: [UInt8],
        _ certificateRequest: [UInt8]
    ) -> [UInt8] {
        Array("clinicsync join 1".utf8) + SHA256.hash(data: host) + SHA256.hash(data: asker) + nonce
            + SHA256.hash(data: certificateRequest)
    }

    private static func derived(_ secret: [UInt8], _ purpose: String, _ count: Int) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: secret),
            info: Array(purpose.utf8),
            outputByteCount: count
        )
    }
}
