import ClinicSyncCore
import NIOConcurrencyHelpers

/// Remembers since when the verdict about the clinic has been what it is.
final class VerdictLog: Sendable {
    private struct Entry {
        var state: Verdict.State
        var since: Int64
    }

    private let entry = NIOLockedValueBox<Entry?>(nil)

    /// Takes a verdict.
    ///
    /// - Parameters:
    ///   - state: what the verdict comes to.
    ///   - began: when that began, milliseconds since 1970; counts only when the state is new.
    /// - Returns: Since when the verdict has been so.
    func note(_ state: Verdict.State, began: Int64) -> Int64 {
        self.entry.withLockedValue { entry in
            let since = entry.flatMap { $0.state == state ? $0.since : nil } ?? began
            entry = Entry(state: state, since: since)
            return since
        }
    }
}
