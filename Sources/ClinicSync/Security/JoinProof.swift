import ClinicSyncModel
import Crypto
import Foundation

/// Proof that a PC has a join code, for one TLS connection and one certificate request only.
///
/// NIOSSL has no TLS exporter (RFC 9266), so the proof covers both ends' certificates, whose private keys the
/// handshake of TLS 1.3 proves (compare tls-server-end-point, RFC 5929), and a fresh number: recorded, it is of no use on
/// any other connection, to any other host, for any other key. Keys come from the code's secret by HKDF (RFC 5869).
enum JoinProof {
    /// The key that an invitation stores: it checks proofs, and the secret cannot be computed from it.
    static func key(secret: [UInt8]) -> SymmetricKey {
        JoinProof.derived(secret, "clinicsync join 1 proof", 32)
    }

    /// The id of the invitation that a secret belongs to; the secret cannot be computed from it.
    static func invitationID(secret: [UInt8]) -> [UInt8] {
        JoinProof.derived(secret, "clinicsync join 1 id", JoinRequest.invitationIDBytes).withUnsafeBytes(Array.init)
    }

    /// The proof.
    ///
    /// - Parameters:
    ///   - key: the invitation's.
    ///   - host: the host's certificate in DER.
    ///   - asker: the asking PC's certificate in DER.
    ///   - nonce: the host's challenge.
    ///   - certificateRequest: what is asked for.
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

    /// Whether `proof` is what ``make(key:host:asker:nonce:certificateRequest:)`` makes; takes the same time for every wrong one.
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

    /// Every part but the last has a fixed length, and so have the hashes: no two messages look alike.
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
