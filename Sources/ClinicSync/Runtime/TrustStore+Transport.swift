package import ClinicSyncModel

/// The trust store has the answers that a transport needs.
///
/// Only the runtime sees both types.
extension TrustStore: PeerAuthenticator {}

extension MemberAuthenticator: PeerAuthenticator {}

extension EnrollmentDesk: EnrollmentService {
    /// Answers an enrollment request that a transport received.
    package func answer(
        _ request: EnrollmentRequest,
        to challenge: EnrollmentChallenge,
        from peer: EnrollmentPeer
    ) -> EnrollmentReply {
        self.answer(
            request,
            to: challenge,
            standing: peer.standing,
            certificate: peer.certificate,
            address: peer.address
        )
    }
}
