import ClinicSyncCore
import ClinicSyncStorage
import Foundation
import NIOConcurrencyHelpers

/// Finds out that every sync of the store's disk takes long, and tells the core.
///
/// One long sync says little: a large transaction may take a second on a good disk. The disk is slow when syncs of at least
/// ``slowSync`` follow one another until they have taken ``limit`` together, and one that hangs counts while it lasts. It is
/// slow no longer after ``quickSyncs`` shorter ones in a row.
final class SlowDiskWatch: SyncWatch {
    private struct State {
        /// When the sync in progress began; `nil` when there is none.
        var began: ContinuousClock.Instant?
        /// The time that the latest syncs took together, each of which was slow.
        var slowTime = Duration.zero
        /// The number of the latest syncs that were not slow.
        var quick = 0
        var isReported = false
        /// The number of looks at the disk.
        var looks: UInt64 = 0
        /// Tells the core; `nil` before the node runs.
        var report: (@Sendable (Input) -> Void)?
    }

    /// A sync that takes this long is slow; a disk needs some milliseconds, a bad card some tenths of a second.
    static let slowSync: Duration = .seconds(2)
    /// What slow syncs in a row have taken together when the disk counts as slow.
    static let limit: Duration = .seconds(6)
    /// Syncs in a row that are not slow after which the disk counts as usual again.
    static let quickSyncs = 3
    /// The time between two looks at a sync that may hang.
    static let interval: Duration = .seconds(1)

    private let state = NIOLockedValueBox(State())
    private let now: @Sendable () -> ContinuousClock.Instant

    /// Makes a watch that reads the time from `now`, on the store's writing thread and in ``look()``.
    init(now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }) { self.now = now }

    /// Tells the core from now on; from any thread.
    func begin(report: @escaping @Sendable (Input) -> Void) { self.state.withLockedValue { $0.report = report } }

    /// Looks whether a sync hangs, and at every fifth call whether the disk has room; to be called once a second.
    ///
    /// - Parameter path: a file on the disk.
    func look(on path: String) {
        self.look()
        let isDue = self.state.withLockedValue { state in
            state.looks += 1
            return state.looks.isMultiple(of: SlowDiskWatch.looksForRoom)
        }
        guard isDue, SlowDiskWatch.freeBytes(at: path) < SlowDiskWatch.roomMin else { return }
        // An idle node writes nothing, and so would not notice a full disk.
        self.state.withLockedValue { $0.report }?(.roomIsShort)
    }

    /// How many looks at syncs come between two looks at the room.
    private static let looksForRoom: UInt64 = 5
    /// With less room than this the node tries whether the disk takes a write.
    private static let roomMin: UInt64 = 1 << 20

    /// The bytes that the account may still write; very many when the system does not tell.
    static func freeBytes(at path: String) -> UInt64 {
        var information = statvfs()
        guard statvfs(path, &information) == 0 else { return .max }
        let (bytes, isMore) = UInt64(clamping: information.f_bavail)
            .multipliedReportingOverflow(by: UInt64(clamping: information.f_frsize))
        return isMore ? .max : bytes
    }

    /// Looks whether the sync in progress hangs.
    func look() {
        let now = self.now()
        let report = self.state.withLockedValue { state in
            SlowDiskWatch.judge(&state, running: state.began.map { $0.duration(to: now) } ?? .zero)
        }
        report?()
    }

    // MARK: - SyncWatch

    func syncBegan() {
        let now = self.now()
        self.state.withLockedValue { $0.began = now }
    }

    func syncEnded() {
        let now = self.now()
        let report = self.state.withLockedValue { state in
            let took = state.began.map { $0.duration(to: now) } ?? .zero
            state.began = nil
            if took >= SlowDiskWatch.slowSync {
                state.slowTime += took
                state.quick = 0
            } else {
                state.slowTime = .zero
                state.quick += 1
            }
            return SlowDiskWatch.judge(&state, running: .zero)
        }
        report?()
    }

    /// Decides whether the core must hear of a change; what it returns tells it.
    private static func judge(_ state: inout State, running: Duration) -> (() -> Void)? {
        guard let report = state.report else { return nil }
        if state.isReported {
            guard state.quick >= self.quickSyncs else { return nil }
            state.isReported = false
            return { report(.syncsTakeLong(nil)) }
        }
        let time = state.slowTime + (running >= self.slowSync ? running : .zero)
        guard time >= self.limit else { return nil }
        state.isReported = true
        let seconds = time.components.seconds
        return {
            report(
                .syncsTakeLong(
                    "The disk is slow: the latest syncs took \(seconds) s. Check it with 'smartctl -a' and 'iostat -x 1'; work goes on."
                )
            )
        }
    }
}
