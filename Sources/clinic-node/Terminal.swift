import Glibc

/// The width of the terminal, and text that fits into it.
enum Terminal {
    /// The least columns that a text is broken for: in less space, lines of a word each help nobody.
    private static let columnsMin = 24

    /// The columns of the terminal at standard output, at most 100; `nil` when it is none.
    static var columns: Int? {
        guard isatty(STDOUT_FILENO) == 1 else { return nil }
        return min(Terminal.columns(of: STDOUT_FILENO), 100)
    }

    /// The columns of the terminal behind a descriptor; 80 when it does not tell.
    static func columns(of descriptor: Int32) -> Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 1 else { return 80 }
        return Int(size.ws_col)
    }

    /// Breaks a text into lines at its spaces, without anything that controls the terminal.
    ///
    /// - Parameters:
    ///   - text: the text.
    ///   - columns: the longest line; `nil` where programs read, then the text is one line.
    /// - Returns: The lines; a word that is longer than a line stays whole.
    static func wrapped(_ text: String, columns: Int?) -> [String] {
        let text = TerminalText.printable(text)
        guard let columns else { return [text] }
        let width = max(Terminal.columnsMin, columns)
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? String(word) : " " + word
        }
        return lines + (line.isEmpty ? [] : [line])
    }
}
