import ClinicSync
import Foundation
import Glibc
import Logging

/// Where the lines of the log go.
enum LogSink: Sendable {
    /// Standard error.
    case standardError(LogLine.Reader)
    /// A file; what it does not take goes to standard error.
    case file(LogFile)

    /// The sink of a node.
    ///
    /// - Parameters:
    ///   - file: the path of a file; `nil` for standard error. A path that is not absolute begins at the node's directory.
    ///   - directory: the node's directory.
    init(file: String?, in directory: NodeDirectory) {
        if let file {
            self = .file(LogFile(path: URL(filePath: file, relativeTo: directory.url).path(percentEncoded: false)))
        } else {
            let environment = ProcessInfo.processInfo.environment
            let isJournal = LogLine.isJournal(STDERR_FILENO, environment: environment)
            self = .standardError(isJournal ? .journal : .person)
        }
    }
}

/// Writes log lines without anything that controls a terminal: people read the log in one, also months later.
struct NodeLogHandler: LogHandler {
    private let label: String
    private let sink: LogSink
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    /// Writes entries of at least `level` to `sink`.
    init(label: String, level: Logger.Level, sink: LogSink) {
        self.label = label
        self.logLevel = level
        self.sink = sink
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        switch self.sink {
        case .standardError(let reader): Output.report(self.line(event, for: reader))
        case .file(let file):
            let line = TerminalText.printable(self.line(event, for: .person))
            if !file.write(line) { Output.report(line) }
        }
    }

    private func line(_ event: LogEvent, for reader: LogLine.Reader) -> String {
        LogLine.text(
            of: event,
            label: self.label,
            metadata: self.metadata,
            at: Date().timeIntervalSince1970,
            for: reader
        )
    }
}
