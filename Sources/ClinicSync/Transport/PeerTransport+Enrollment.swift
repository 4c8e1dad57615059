import ClinicSyncModel
import ClinicSyncWire
import NIOConcurrencyHelpers
import NIOCore

extension PeerTransport {
    /// Makes the pipeline of an enrollment connection; on the channel's event loop.
    ///
    /// - Throws: An error when there are too many enrollments, or the socket is closed.
    func beginEnrollment(_ channel: any Channel, _ peer: EnrollmentPeer) throws {
        let limits = self.limits
        guard let service = self.enrollment, channel.isActive else { throw WebSocketUpgrade.Failure.closed }
        guard self.registry.withLockedValue({ $0.beginEnrollment(on: channel, limits) }) else {
            self.noteRefusal(.tooManyEnrollments, address: peer.address)
            throw WebSocketUpgrade.Failure.refused
        }
        try SocketHandler.endLimit(of: channel)
        try channel.pipeline.syncOperations.addFrameHandlers(
            isPeerClient: true,
            allowsText: false,
            limits.message(bytesMax: limits.wire.enrollmentRequestBytesMax)
        )
        let id = self.registry.withLockedValue { $0.nextID() }
        try channel.pipeline.syncOperations.addHandler(
            EnrollmentHandler(
                connection: PeerConnection(id: id, channel: channel, isClient: false, limits: limits),
                peer: peer,
                service: service,
                limits: limits,
                onRefusal: { self.noteRefusal($0, address: peer.address) }
            )
        )
        channel.pipeline.removeHandler(name: UpgradeErrorHandler.name, promise: nil)
    }
}
