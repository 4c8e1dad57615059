import ClinicSync
import Foundation
import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// A program that listens to a node's events and notes when each came.
final class EventReceiver: Sendable {
    private let arrivals = NIOLockedValueBox<[String: ContinuousClock.Instant]>([:])
    private let isSubscribed = NIOLockedValueBox(false)
    private let isStopped = NIOLockedValueBox(false)
    private let ended: EventLoopFuture<Void>

    /// Subscribes at the node in `directory`; `filter` is the part of the subscription's JSON that selects events.
    init(
        directory: String,
        filter: String,
        isWanted: @escaping @Sendable (NodeEvent) -> Bool = { _ in true }
    ) throws {
        let directory = NodeDirectory(url: URL(fileURLWithPath: directory))
        guard let address = try directory.apiAddress() else {
            throw ClinicSyncError(.notReachable, "A node of the benchmark ended too early: run the benchmark again.")
        }
        let client = EventSocketClient(address: address, token: try directory.token())
        let promise = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
        self.ended = promise.futureResult
        let (arrivals, isSubscribed, isStopped) = (self.arrivals, self.isSubscribed, self.isStopped)
        promise.completeWithTask {
            try await client.run { socket in
                try await socket.send(#"{"type":"subscribe",\#(filter)}"#)
                _ = try await socket.nextText()
                isSubscribed.withLockedValue { $0 = true }
                let clock = ContinuousClock()
                while let text = try await socket.nextText() {
                    let now = clock.now
                    let event = try APICoding.decode(NodeEvent.self, from: Array(text.utf8))
                    if let record = event.recordId, isWanted(event) { arrivals.withLockedValue { $0[record] = now } }
                    if isStopped.withLockedValue({ $0 }) { break }
                }
            }
        }
        try NodeProcess.wait("The benchmark could not subscribe.") { self.isSubscribed.withLockedValue { $0 } }
    }

    /// Waits for the event of a record and says when it came, a moment ago or earlier.
    func wait(for key: String) throws -> ContinuousClock.Instant {
        let deadline = ContinuousClock.now + EventReceiver.patience
        while true {
            if let arrival = self.arrivals.withLockedValue({ $0[key] }) { return arrival }
            guard ContinuousClock.now < deadline else {
                throw ClinicSyncError(.timeout, "An event did not come: run the benchmark again.")
            }
            usleep(1_000)
        }
    }

    /// How long an event may take.
    private static let patience = Duration.seconds(30)

    /// Stops at the next event, or when the node ends.
    func stop() { self.isStopped.withLockedValue { $0 = true } }
}
