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
