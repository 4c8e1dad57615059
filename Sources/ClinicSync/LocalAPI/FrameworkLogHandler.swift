import Logging
import NIOConcurrencyHelpers

/// Passes on what the HTTP framework logs, and nothing while the server stops.
///
/// The framework calls the end of its own work in an orderly stop an error: `CancellationError()`, `Already closed`.
struct FrameworkLogHandler: LogHandler {
    private var handler: any LogHandler
    private let isStopping: NIOLockedValueBox<Bool>

    /// Passes on to `handler` as long as `isStopping` is `false` and the task is not cancelled.
    init(_ handler: any LogHandler, isStopping: NIOLockedValueBox<Bool>) {
        self.handler = handler
        self.isStopping = isStopping
    }

    var logLevel: Logger.Level {
        get { self.handler.logLevel }
        set { self.handler.logLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { self.handler.metadata }
        set { self.handler.metadata = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.handler[metadataKey: key] }
        set { self.handler[metadataKey: key] = newValue }
    }

    func log(event: LogEvent) {
        guard !Task.isCancelled, !self.isStopping.withLockedValue({ $0 }) else { return }
        self.handler.log(event: event)
    }
}
