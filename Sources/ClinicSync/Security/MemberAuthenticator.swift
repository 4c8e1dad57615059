package import ClinicSyncModel
package import NIOSSL

/// Judges peers for a transport, and notes the members that it meets.
///
/// A member is known from its first handshake on, before it can send anything.
package struct MemberAuthenticator: Sendable {
    let trust: TrustStore
    let register: MemberRegister
    /// Called when a member was met that was not known; must not block.
    let met: @Sendable (NodeID) -> Void

    /// Makes an authenticator.
    package init(trust: TrustStore, register: MemberRegister, met: @escaping @Sendable (NodeID) -> Void) {
        self.trust = trust
        self.register = register
        self.met = met
    }

    /// TLS for accepted connections.
    package var serverContext: NIOSSLContext { self.trust.serverContext }
    /// TLS for dialled connections.
    package var clientContext: NIOSSLContext { self.trust.clientContext }

    /// Judges the certificates of a TLS handshake, the peer's own first.
    package func judge(_ chain: [NIOSSLCertificate]) async -> PeerStanding {
        let standing = await self.trust.judge(chain)
        if case .member(let credential) = standing, self.register.member(credential.node) == nil {
            do {
                if try self.register.learn(handshake: chain) == .new { self.met(credential.node) }
            } catch {
                // The certificates were read a moment ago. The member's row teaches the same.
            }
        }
        return standing
    }

    /// Judges an established peer again.
    package func review(_ credential: PeerCredential) -> PeerStanding { self.trust.review(credential) }
}
