import Logging

/// The one place that makes text safe for a terminal.
///
/// Names, ids and values come from rows, which any program of any PC can write, and from other nodes. Without this, such a
/// text could move the cursor, rewrite what a person has read, change the direction of writing, or make the terminal
/// send keys. Control characters (C0, C1), characters that change the direction, and line ends become replacement characters.
/// JSON needs no such care: it escapes control characters itself, and programs read it.
enum TerminalText {
    /// Returns `text` without anything that controls the terminal.
    static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { self.isSafe($0) ? $0 : "\u{FFFD}" }))
    }

    /// Returns a line without anything that controls the terminal, except the colours of ``Style``.
    static func line(_ text: String, isColored: Bool) -> String {
        guard isColored else { return self.printable(text) }
        var line = ""
        var rest = text[...]
        while let escape = rest.firstIndex(of: "\u{1B}") {
            line += self.printable(String(rest[..<escape]))
            rest = rest[escape...]
            if let own = Style.sequences.first(where: { rest.hasPrefix($0) }) {
                line += own
                rest = rest.dropFirst(own.count)
            } else {
                line += "\u{FFFD}"
                rest = rest.dropFirst()
            }
        }
        return line + self.printable(String(rest))
    }

    private static func isSafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: false
        // Persian and Indian names need the two joiners, which only choose the form of letters.
        case .format: scalar == "\u{200C}" || scalar == "\u{200D}"
        default: true
        }
    }
}

/// Writes log lines without anything that controls a terminal: people read the log in one, also months later.
struct TerminalLogHandler: LogHandler {
    private var handler: StreamLogHandler

    /// Logs to standard error.
    init(label: String) { self.handler = StreamLogHandler.standardError(label: label) }

    var logLevel: Logger.Level {
        get { self.handler.logLevel }
        set { self.handler.logLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { self.handler.metadata }
        set { self.handler.metadata = newValue.mapValues(TerminalLogHandler.printable) }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.handler[metadataKey: key] }
        set { self.handler[metadataKey: key] = newValue.map(TerminalLogHandler.printable) }
    }

    func log(event: LogEvent) {
        var event = event
        event.message = "\(TerminalText.printable(event.message.description))"
        event.metadata = event.metadata?.mapValues(TerminalLogHandler.printable)
        StatusLine.standardError.clear()
        self.handler.log(event: event)
    }

    private static func printable(_ value: Logger.Metadata.Value) -> Logger.Metadata.Value {
        switch value {
        case .string(let text): .string(TerminalText.printable(text))
        case .stringConvertible(let value): .string(TerminalText.printable(value.description))
        case .array(let values): .array(values.map(TerminalLogHandler.printable))
        case .dictionary(let values): .dictionary(values.mapValues(TerminalLogHandler.printable))
        }
    }
}
