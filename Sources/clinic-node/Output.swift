import ArgumentParser
import ClinicSync
import Foundation
import Glibc

/// Where text goes: data to standard output, everything else to standard error, unbuffered.
enum Output {
    /// Writes one line of data, without anything that could control the terminal except this program's own colours.
    static func line(_ text: String) throws {
        let text = TerminalText.line(text, isColored: Style.standardOutput.isColored)
        try Output.write(Array(text.utf8) + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
    }

    /// Writes text that this program made alone, with its line ends.
    static func script(_ text: String) throws {
        try Output.write(Array(text.utf8) + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
    }

    /// Writes a value as one line of JSON.
    static func json(_ value: some Encodable) throws {
        try Output.write(try APICoding.encode(value) + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
    }

    /// Writes a table as lines of data.
    static func table(_ table: TextTable) throws {
        for line in table.lines(indent: 0, style: .standardOutput) { try Output.line(line) }
    }

    /// Tells the person something that is not data.
    static func report(_ text: String) {
        StatusLine.standardError.clear()
        let bytes = Array((TerminalText.printable(text) + "\n").utf8)
        // If standard error is closed, there is nowhere to report it.
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }

    /// Writes all bytes to a descriptor.
    static func write(_ bytes: [UInt8], to descriptor: Int32) throws {
        var offset = 0
        while offset < bytes.count {
            let count = bytes[offset...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                offset += count
            } else if errno == EPIPE {
                // The reader has seen enough, as `head` does; there is nothing to complain about.
                throw ExitCode.success
            } else if errno != EINTR {
                throw AtomicFile.failure(errno, doing: "write to", path: "the output")
            }
        }
    }
}

/// Colours for people at a terminal, nothing for everybody else.
struct Style {
    /// Whether escape sequences are written.
    let isColored: Bool

    /// The style for standard output; `NO_COLOR` and `TERM=dumb` are respected.
    static var standardOutput: Style {
        let environment = ProcessInfo.processInfo.environment
        let wantsNone = environment["NO_COLOR"].map { !$0.isEmpty } ?? false
        return Style(isColored: isatty(STDOUT_FILENO) == 1 && !wantsNone && environment["TERM"] != "dumb")
    }

    func bold(_ text: String) -> String { self.wrap(text, "1") }
    func dim(_ text: String) -> String { self.wrap(text, "2") }
    func good(_ text: String) -> String { self.wrap(text, "32") }
    func warning(_ text: String) -> String { self.wrap(text, "33") }
    func bad(_ text: String) -> String { self.wrap(text, "31") }

    private func wrap(_ text: String, _ code: String) -> String {
        self.isColored ? Style.sequence(code) + text + Style.sequence("0") : text
    }

    private static func sequence(_ code: String) -> String { "\u{1B}[\(code)m" }

    /// All escape sequences that this program writes; ``TerminalText`` lets no other one pass.
    static let sequences = ["0", "1", "2", "31", "32", "33"].map(Style.sequence)
}
