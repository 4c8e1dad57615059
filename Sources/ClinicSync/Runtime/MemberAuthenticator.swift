import ClinicSyncModel
import NIOSSL

/// Judges peers for the transport, and notes the members that it meets.
///
/// A member is known from its first handshake on, before it can send anything.
struct MemberAuthenticator: PeerAuthenticator {
    let trust: TrustStore
    let register: MemberRegister
    /// Called when a member was met that was not known; must not block.
    let met: @Sendable (NodeID) -> Void

    var serverContext: NIOSSLContext { self.trust.serverContext }
    var clientContext: NIOSSLContext { self.trust.clientContext }

    func judge(_ chain: [NIOSSLCertificate]) async -> PeerStanding {
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

    func review(_ credential: PeerCredential) -> PeerStanding { self.trust.review(credential) }
}
