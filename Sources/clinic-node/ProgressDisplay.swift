import ClinicSync
import ServiceLifecycle

/// Says at standard error how far this PC is while it gets the clinic's state.
///
/// On a terminal one line is replaced twice a second. Elsewhere a line is written every ten seconds, so that a service's log
/// stays short.
struct ProgressDisplay: Service {
    /// The node.
    let node: ClinicNode

    private static let redrawInterval = Duration.milliseconds(500)
    private static let lineInterval = Duration.seconds(10)
    /// The time between two looks when no line is replaced; a service's node is idle most of the time.
    private static let lookInterval = Duration.seconds(2)

    /// Looks at the node until a graceful shutdown.
    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown { try await self.show() }
        } catch is CancellationError {
            // The node stops.
        }
        StatusLine.standardError.clear()
    }

    private func show() async throws {
        let isTerminal = StatusLine.isPossible
        let clock = ContinuousClock()
        var lastLine: ContinuousClock.Instant?
        var isComplete = false
        while true {
            if let state = self.node.stateTransfer {
                let text = "The clinic's data: \(state.sentence)"
                isComplete = state.complete
                if isTerminal {
                    StatusLine.standardError.show(text)
                    lastLine = clock.now
                } else if lastLine.map({ clock.now - $0 >= ProgressDisplay.lineInterval }) ?? true {
                    Output.report(text)
                    lastLine = clock.now
                }
            } else if lastLine != nil {
                lastLine = nil
                StatusLine.standardError.clear()
                if isComplete { Output.report("The clinic's data: all rows are shown") }
            }
            try await Task.sleep(for: isTerminal ? ProgressDisplay.redrawInterval : ProgressDisplay.lookInterval)
        }
    }
}
