import ClinicSyncCore
import ClinicSyncModel
import Foundation
import Logging
import NIOConcurrencyHelpers

/// Ends the run when the node must follow an epoch, as soon as no other program has the database open.
///
/// The next run then sets the database aside before it opens one ([EpochStep](EpochStep.swift)). Until then the node goes on with
/// the data that it has, and with the nodes that have the same.
final class EpochWatch: Sendable {
    /// What people are told.
    struct Report: Sendable, Hashable {
        /// The epoch that the node must follow and has not.
        var waiting: Epoch?
        /// A program that has the database open, which the node waits for.
        var holder: StoreLock.Holder?
        /// Why the node does not follow an epoch that a peer offered.
        var refusal: String?
        /// Whether the run ends so that the next one follows.
        fileprivate var isOver = false
    }

    private let path: String
    private let held: Bool
    private let data: Epoch?
    private let greatest: @Sendable () -> Epoch?
    private let holder: @Sendable () -> StoreLock.Holder?
    private let post: @Sendable (Input) -> Void
    private let clock: NodeClock
    private let logger: Logger
    private let state = NIOLockedValueBox(Report())
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// How often the node looks whether a program still has the database open.
    private static let interval = Duration.seconds(1)
    /// How long the node waits when the database was in use at the start, in case the system does not tell by whom.
    private static let patience = Duration.seconds(30)

    /// Makes a watch, which does nothing before ``run()``.
    ///
    /// - Parameters:
    ///   - path: the database.
    ///   - opened: the epoch of the data at the opening.
    ///   - greatest: returns the greatest epoch that the node knows.
    ///   - clock: the node's clock.
    ///   - logger: where the watch logs.
    ///   - post: gives the core an input.
    init(
        path: String,
        opened: EpochState,
        greatest: @escaping @Sendable () -> Epoch?,
        clock: NodeClock,
        logger: Logger,
        post: @escaping @Sendable (Input) -> Void
    ) {
        self.path = path
        self.held = opened.isHeld
        self.data = opened.data
        self.greatest = greatest
        self.holder = { LockHolder.user(databasePath: path) }
        self.clock = clock
        self.logger = logger
        self.post = post
        (self.wakes, self.wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.wake.yield()
    }

    /// What people are told.
    var report: Report { self.state.withLockedValue { $0 } }

    /// A peer offered an epoch, and this is the verdict; from any thread.
    func judged(_ verdict: TrustStore.EpochVerdict) {
        switch verdict {
        case .new:
            self.state.withLockedValue { $0.refusal = nil }
            self.wake.yield()
        case .known: break
        case .refused(let reason):
            let isNews = self.state.withLockedValue { state in
                defer { state.refusal = reason }
                return state.refusal != reason
            }
            guard isNews else { return }
            self.logger.error(
                "A peer offers a return to a backup that this node refuses",
                metadata: ["epoch.refusal": "\(reason)"]
            )
            self.tell("epoch_refused", ["reason": reason])
        }
    }

    /// Watches until cancelled, or until the node must follow; then the node stops in order, so that it knows what others have.
    ///
    /// - Throws: `CancellationError`.
    func run() async throws {
        for await _ in self.wakes {
            guard let epoch = self.greatest(), Optional(epoch).exceeds(self.data) else { continue }
            try await self.waitForPrograms(epoch)
            self.state.withLockedValue { $0.isOver = true }
            self.post(.shutdownRequested)
            return
        }
    }

    /// The run is over.
    ///
    /// - Throws: ``ClinicSyncError`` of code `broughtBack` when the next run must follow.
    func finish() throws {
        guard self.state.withLockedValue({ $0.isOver }) else { return }
        throw ClinicSyncError(
            .broughtBack,
            "The whole clinic was brought back to a backup: start the node again, which gets the data from the other PCs."
        )
    }

    /// Waits until no other program has the database open.
    private func waitForPrograms(_ epoch: Epoch) async throws {
        if self.held { self.wait(for: epoch, self.holder()) }
        if self.held { try await Task.sleep(for: EpochWatch.patience) }
        while let holder = self.holder() {
            self.wait(for: epoch, holder)
            try await Task.sleep(for: EpochWatch.interval)
        }
    }

    private func wait(for epoch: Epoch, _ holder: StoreLock.Holder?) {
        let isNews = self.state.withLockedValue { state in
            defer { (state.waiting, state.holder) = (epoch, holder) }
            return state.waiting == nil
        }
        guard isNews else { return }
        self.logger.warning(
            "The whole clinic was brought back to a backup: close the programs that use clinic.db, then this node follows",
            metadata: [
                "epoch.number": "\(epoch.number)", "epoch.node": "\(epoch.node)",
                "lock.process": "\(holder.map { String($0.process) } ?? "unknown")",
                "lock.program": "\(holder?.program ?? "unknown")",
            ]
        )
        self.tell(
            "epoch_waiting",
            [
                "epoch": "\(epoch.number)", "decidedBy": epoch.node.description,
                "program": holder?.program ?? "", "process": holder.map { String($0.process) } ?? "",
            ]
        )
    }

    private func tell(_ type: String, _ details: [String: String]) {
        self.post(
            .eventOccurred(
                NamedEvent(
                    type: type,
                    category: .system,
                    timestamp: HybridTimestamp(milliseconds: self.clock.wallMilliseconds),
                    fields: ["details": .object(details.mapValues(EventValue.text))]
                )
            )
        )
    }
}
