import ClinicSync
import ClinicSyncModel
import ClinicSyncTestKit
import Foundation
import Logging
import NIOConcurrencyHelpers
import Testing

@Suite("A member that is refused again and again", .timeLimit(.minutes(1)))
struct BackOffTests {
    /// Counts the lines of all nodes, from `info` on.
    private struct CountingHandler: LogHandler {
        let lines: NIOLockedValueBox<[String]>
        var logLevel = Logger.Level.info
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) { self.lines.withLockedValue { $0.append(event.message.description) } }
    }

    @Test("it gets few connections and few log lines, status names it, and it works again when it is honest")
    func loop() async throws {
        let lines = NIOLockedValueBox<[String]>([])
        let logger = Logger(label: "back-off") { _ in CountingHandler(lines: lines) }
        try await TestClinic.start(nodes: 2, logger: logger) { clinic in
            let (host, x) = (clinic.nodes[0], clinic.nodes[1])
            try await clinic.converge()
            let id = try await x.status().node.id
            try await x.stop()
            let run = UInt64.random(in: 1 ... .max)
            let before = lines.withLockedValue { $0.count }
            let end = ContinuousClock.now + .seconds(2)
            var (attempts, heard) = (0, 0)
            while ContinuousClock.now < end {
                let peer = try await HostilePeer.connectOnce(to: host.address, as: x.directory) { $0.runID = run }
                attempts += 1
                if peer.seen.hello != nil {
                    heard += 1
                    peer.send(.chunk(peer.chunk(peer.next, index: .max, isLast: false, payload: [1, 0])))
                    try await peer.wait(for: "its end") { $0.isClosed }
                } else {
                    #expect(peer.seen.goodbye == .protocolViolation, "attempt \(attempts): \(peer.seen)")
                    #expect(peer.seen.retryAfter != nil)
                }
                await peer.close()
            }
            #expect(attempts > 20)
            // In a clinic of this test a wait is at most 0.4 s, and at least half of that.
            #expect((3...20).contains(heard), "\(heard) of \(attempts) connections")
            let written = lines.withLockedValue { Array($0.dropFirst(before)) }
            #expect(written.count < 20, "\(written)")
            #expect(written.count { $0.contains("must be ended") } == 1)
            let backOff = try #require(try await host.status().peers.first { $0.id == id }?.backOff)
            #expect(backOff.reason == "protocolViolation")
            #expect(backOff.by == "self")
            #expect(backOff.failures == heard)
            #expect(!backOff.message.isEmpty)
            try await x.start()
            try x.database.sql("INSERT INTO patients(id, fullName) VALUES ('late', 'Ana')")
            try await clinic.converge(within: .seconds(10))
        }
    }
}
