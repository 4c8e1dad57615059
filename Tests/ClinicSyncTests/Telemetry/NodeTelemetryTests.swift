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

    @Test("a locked store and failed triggers are events and metrics; the event names the program")
    func lockedStore() {
        let events = NIOLockedValueBox<[NamedEvent]>([])
        let metrics = NodeMetrics()
        let telemetry = NodeTelemetry(
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            metrics: metrics,
            wallMilliseconds: { 0 },
            onEvent: { event in events.withLockedValue { $0.append(event) } }
        )
        telemetry.record(
            .storeLocked(StoreLock(waited: .seconds(3), holder: StoreLock.Holder(process: 7, program: "editor")))
        )
        telemetry.record(.triggersFailed(2))
        let told = events.withLockedValue { $0 }
        #expect(told.map(\.type) == ["store_locked", "trigger_failed"])
        #expect(
            told.first?.fields["details"] == .object(["process": .text("7"), "program": .text("editor")])
        )
        #expect(metrics.text.contains("clinicsync_store_locks_total 1"))
        #expect(metrics.text.contains("clinicsync_failed_triggers_total 2"))
    }

    @Test("a disk's fault and its end are events, and no reason of SQLite's is in them")
    func disk() {
        let events = NIOLockedValueBox<[NamedEvent]>([])
        let telemetry = NodeTelemetry(
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            metrics: NodeMetrics(),
            wallMilliseconds: { 0 },
            onEvent: { event in events.withLockedValue { $0.append(event) } }
        )
        telemetry.record(.diskFault(.readOnly, "reason"))
        telemetry.record(.storageFailed(.disk(.readOnly, "reason")))
        telemetry.record(.diskRecovered(.readOnly, after: .seconds(7)))
        let told = events.withLockedValue { $0 }
        #expect(told.map(\.type) == ["disk_fault", "disk_recovered"])
        #expect(told.first?.fields["details"] == .object(["fault": .text("readOnly")]))
        #expect(told.last?.fields["details"] == .object(["fault": .text("readOnly"), "seconds": .text("7")]))
    }
}
