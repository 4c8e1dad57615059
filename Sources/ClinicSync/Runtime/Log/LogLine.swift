// Which module `stat` belongs to depends on what the compiler reads first.
import Dispatch
import Foundation
import Glibc
package import Logging

/// A line of the node's log.
package enum LogLine {
    /// Who reads the lines.
    package enum Reader: Sendable, Hashable {
        /// A person or a file: each line begins with the time.
        case person
        /// systemd's journal, which has the time itself: each line begins with its priority, as `sd-daemon(3)` describes.
        case journal
    }

    /// Writes an entry of the log as one line without its end.
    ///
    /// - Parameters:
    ///   - event: the entry.
    ///   - label: the name of the logger.
    ///   - metadata: the metadata of the logger; those of the entry are preferred.
    ///   - time: seconds since 1970.
    ///   - reader: who reads it.
    /// - Returns: The line.
    package static func text(
        of event: LogEvent,
        label: String,
        metadata: Logger.Metadata,
        at time: Double,
        for reader: Reader
    ) -> String {
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let pairs = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        let body = "\(label):\(pairs) [\(event.source)] \(event.message)"
        return switch reader {
        case .person: "\(LogLine.stamp(time)) \(event.level) \(body)"
        case .journal: "<\(LogLine.priority(of: event.level))>\(body)"
        }
    }

    /// The priority of syslog.
    package static func priority(of level: Logger.Level) -> Int {
        switch level {
        case .critical: 2
        case .error: 3
        case .warning: 4
        case .notice: 5
        case .info: 6
        case .debug, .trace: 7
        }
    }

    /// Whether a descriptor is the stream that systemd connects with its journal.
    ///
    /// - Parameters:
    ///   - descriptor: for example that of standard error.
    ///   - environment: `JOURNAL_STREAM` has the device and the inode of the stream.
    /// - Returns: `false` also when standard error was redirected elsewhere, so that files get no priorities.
    package static func isJournal(_ descriptor: Int32, environment: [String: String]) -> Bool {
        var information = stat()
        guard let stream = environment["JOURNAL_STREAM"], fstat(descriptor, &information) == 0 else { return false }
        return stream == "\(information.st_dev):\(information.st_ino)"
    }

    private static func stamp(_ time: Double) -> String {
        Date(timeIntervalSince1970: time).formatted(LogLine.style)
    }

    private static let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
}
