import ClinicSync
import Glibc
import NIOConcurrencyHelpers

/// The last line of the terminal at standard error, which this program writes again and again.
///
/// Whoever writes another line to standard error calls ``clear()`` first. A line that another thread writes between is
/// shown beside this one, and the next ``show(_:)`` mends that.
struct StatusLine: Sendable {
    /// The line at the end of standard error.
    static let standardError = StatusLine()

    private let isShown = NIOLockedValueBox(false)

    /// Whether standard error is a terminal that can go back to the beginning of a line.
    static var isPossible: Bool {
        isatty(STDERR_FILENO) == 1 && getenv("TERM").map { String(cString: $0) != "dumb" } ?? true
    }

    /// Replaces the line; what does not fit into the terminal's width is left out.
    func show(_ text: String) {
        self.isShown.withLockedValue { $0 = true }
        let line = TerminalText.printable(text).prefix(StatusLine.columns)
        StatusLine.write("\r\u{1B}[K\(line)")
    }

    /// Removes the line, if it is shown.
    func clear() {
        let wasShown = self.isShown.withLockedValue { isShown in
            defer { isShown = false }
            return isShown
        }
        if wasShown { StatusLine.write("\r\u{1B}[K") }
    }

    /// A line that reached the right edge would go on below, where it could not be replaced.
    private static var columns: Int { Terminal.columns(of: STDERR_FILENO) - 1 }

    private static func write(_ text: String) {
        let bytes = Array(text.utf8)
        // If standard error is closed, there is nowhere to report it.
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
