import ClinicSyncCore
import ClinicSyncModel
import Logging

/// Decides which changes of the verdict about the clinic people and programs must hear of.
///
/// A verdict is news when two samples in a row, ten seconds apart, have it, so that a PC that starts again is no news.
struct VerdictWatch {
    /// What distinguishes one verdict from another.
    private struct Kind: Hashable {
        var state: String
        var isWhole: Bool

        init(_ verdict: VerdictSummary) {
            self.state = verdict.state
            self.isWhole = verdict.isWhole
        }
    }

    /// A clinic is well until it was seen to be not.
    private var told = Kind(
        VerdictSummary(
            state: "equal",
            sentence: "",
            since: UTCTimestamp(milliseconds: 0),
            equalWith: 0,
            members: 0,
            missing: []
        )
    )
    private var last: Kind?

    /// Takes a sample.
    ///
    /// - Returns: Whether the verdict is news.
    mutating func isNews(_ verdict: VerdictSummary) -> Bool {
        let kind = Kind(verdict)
        defer { self.last = kind }
        guard kind == self.last, kind != self.told else { return false }
        self.told = kind
        return true
    }
}

extension NodeStatusControl {
    /// Judges the clinic every ten seconds until cancelled, and tells the log and programs when the verdict has changed.
    ///
    /// - Parameter logger: the node's log.
    /// - Throws: `CancellationError`.
    func watchVerdict(logger: Logger) async throws {
        var watch = VerdictWatch()
        while true {
            try await Task.sleep(for: LatencyLog.interval)
            guard let core = await self.inbox.status() else { return }
            do {
                // What this PC knows by itself shows whether its own state is news, and costs the host nothing.
                guard watch.isNews(try await self.verdict(core, asksHost: false)) else { continue }
                let verdict = try await self.verdict(core)
                logger.log(
                    level: ["equal", "behind"].contains(verdict.state) ? .notice : .warning,
                    "The verdict about the clinic has changed",
                    metadata: ["verdict.state": "\(verdict.state)", "verdict.sentence": "\(verdict.sentence)"]
                )
                self.inbox.post(.eventOccurred(verdict.event(at: self.state.clock.wallMilliseconds)))
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                // The store cannot answer now, which the log says elsewhere.
            }
        }
    }
}

extension VerdictSummary {
    /// The event for programs.
    fileprivate func event(at milliseconds: Int64) -> NamedEvent {
        let details = [
            "state": self.state, "sentence": self.sentence, "equalWith": "\(self.equalWith)",
            "members": "\(self.members)",
        ]
        return NamedEvent(
            type: "verdict_changed",
            category: .system,
            timestamp: HybridTimestamp(milliseconds: milliseconds),
            fields: ["details": .object(details.mapValues(EventValue.text))]
        )
    }
}
