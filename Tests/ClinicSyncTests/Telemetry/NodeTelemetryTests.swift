import ClinicSyncCore
import ClinicSyncModel
import Logging
import NIOConcurrencyHelpers
import Testing

@testable import ClinicSync

@Suite struct NodeTelemetryTests {
    @Test("a peer that gives a new reason with each end fills neither the log of events nor the log")
    func backOffs() {
        let events = NIOLockedValueBox<[String]>([])
        let telemetry = NodeTelemetry(
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            metrics: NodeMetrics(),
            wallMilliseconds: { 0 },
            onEvent: { event in events.withLockedValue { $0.append(event.type) } }
        )
        for number in 0..<1_000 {
            let reason: CloseReason = number.isMultiple(of: 2) ? .protocolViolation : .storageFailed
            telemetry.record(.peerBacksOff(.n(2), reason, isPeersWord: true))
        }
        #expect((1...20).contains(events.withLockedValue { $0.count }))
    }
}
