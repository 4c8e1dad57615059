package import ClinicSyncModel

/// What a transport asks is what the store knows; only the runtime sees both.
extension TrustStore: PeerAuthenticator {}

extension EnrollmentDesk: EnrollmentService {
    /// Answers what a transport received.
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
