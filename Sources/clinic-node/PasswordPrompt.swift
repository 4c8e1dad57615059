import ClinicSync
import ClinicSyncClinic
import Foundation
import Glibc

/// Asks people for passwords, and scripts.
///
/// On a terminal nothing that is typed is shown. Elsewhere a password is one line of standard input, so that it stands neither in
/// the arguments, which every account of the PC can read, nor in the history of a shell.
enum PasswordPrompt {
    /// Bytes of a line that are looked at.
    private static let lineBytesMax = 4_096

    /// Whether a person can be asked.
    static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 }

    /// Asks for a name, which is shown; an empty answer is the default.
    static func askName(default name: String) throws -> String {
        PasswordPrompt.prompt("Name of the first administrator [\(name)]: ")
        let answer = try PasswordPrompt.line(from: STDIN_FILENO, of: "the terminal").trimmingCharacters(
            in: .whitespaces
        )
        return answer.isEmpty ? name : answer
    }

    /// Asks a question on the terminal; only the answer `yes` or `y` agrees.
    static func askYes(_ question: String) throws -> Bool {
        PasswordPrompt.prompt("\(question) [yes/no] ")
        let answer = try PasswordPrompt.line(from: STDIN_FILENO, of: "the terminal", what: "answer").trimmingCharacters(
            in: .whitespaces
        )
        return ["y", "yes"].contains(answer.lowercased())
    }

    /// A new password: typed twice on a terminal, else one line of standard input.
    ///
    /// - Parameters:
    ///   - user: whose it is.
    ///   - mayBeEmpty: whether a person may leave it to the program to make one.
    /// - Returns: The password; `nil` when it was left empty and may be.
    /// - Throws: ``ClinicSyncError`` of code `usage` when there is none, or the two differ. A person is asked again after a
    ///   password that is too short.
    static func askNew(for user: String, mayBeEmpty: Bool = false) throws -> String? {
        guard PasswordPrompt.isInteractive else {
            return try PasswordPrompt.line(from: STDIN_FILENO, of: "standard input")
        }
        let hint = mayBeEmpty ? " (leave it empty to have one made)" : ""
        var password = try PasswordPrompt.typed("New password of \(user)\(hint): ")
        while password.count < PasswordHash.charactersMin {
            if password.isEmpty, mayBeEmpty { return nil }
            password = try PasswordPrompt.typed(
                "A password has at least \(PasswordHash.charactersMin) characters. New password of \(user)\(hint): "
            )
        }
        guard try PasswordPrompt.typed("The same again: ") == password else {
            throw ClinicSyncError(.usage, "The two passwords differ: try again.")
        }
        return password
    }

    /// A password that exists already: typed once on a terminal, else one line of standard input.
    static func ask(_ prompt: String) throws -> String {
        guard PasswordPrompt.isInteractive else {
            return try PasswordPrompt.line(from: STDIN_FILENO, of: "standard input")
        }
        return try PasswordPrompt.typed(prompt)
    }

    /// The first line of a file, or of standard input for `-`.
    static func read(file: String) throws -> String {
        if file == "-" { return try PasswordPrompt.line(from: STDIN_FILENO, of: "standard input") }
        let descriptor = open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw AtomicFile.failure(errno, doing: "read", path: file) }
        defer { close(descriptor) }
        return try PasswordPrompt.line(from: descriptor, of: file)
    }

    /// Reads up to the end of a line, byte by byte: the bytes after it are for the next reader.
    private static func line(
        from descriptor: Int32,
        of source: String,
        what: String = "password"
    ) throws -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        var isEmpty = true
        while bytes.count <= PasswordPrompt.lineBytesMax {
            let count = Glibc.read(descriptor, &byte, 1)
            if count < 0 {
                if errno == EINTR { continue }
                throw AtomicFile.failure(errno, doing: "read", path: source)
            }
            if count == 0 { break }
            isEmpty = false
            if byte == UInt8(ascii: "\n") { break }
            bytes.append(byte)
        }
        guard !isEmpty else {
            throw ClinicSyncError(.usage, "There is no \(what): write it as one line to \(source).")
        }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard bytes.count <= PasswordPrompt.lineBytesMax, let text = String(validating: bytes, as: UTF8.self) else {
            throw ClinicSyncError(
                .usage,
                "The first line of \(source) is no text or too long: write the \(what) there."
            )
        }
        return text
    }

    /// Reads a line from the terminal without showing it.
    ///
    /// The terminal gives each key at once, Ctrl-C among them, so that it is always set right again before the program ends.
    private static func typed(_ prompt: String) throws -> String {
        var saved = termios()
        guard tcgetattr(STDIN_FILENO, &saved) == 0 else {
            throw AtomicFile.failure(errno, doing: "read", path: "the terminal")
        }
        var silent = saved
        silent.c_lflag &= ~tcflag_t(ECHO | ICANON | ISIG)
        // Before the question: keys that were typed earlier were visible, and are discarded.
        guard tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0 else {
            throw AtomicFile.failure(errno, doing: "read", path: "the terminal")
        }
        defer {
            tcsetattr(STDIN_FILENO, TCSADRAIN, &saved)
            Output.report("")
        }
        PasswordPrompt.prompt(prompt)
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while true {
            let count = Glibc.read(STDIN_FILENO, &byte, 1)
            if count < 0, errno == EINTR { continue }
            // A terminal that is closed is the end of what was typed, as Ctrl-D is.
            if count != 1 { byte = 4 }
            switch byte {
            case 3,
                4 where bytes.isEmpty:
                throw ClinicSyncError(.usage, "Nothing was changed: run the command again and type a password.")
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"), 4:
                return try PasswordPrompt.text(bytes)
            case 8, 127:
                PasswordPrompt.removeCharacter(&bytes)
            case 21:
                bytes = []
            default:
                if bytes.count < PasswordPrompt.lineBytesMax { bytes.append(byte) }
            }
        }
    }

    /// Takes back a whole character, which may have several bytes.
    private static func removeCharacter(_ bytes: inout [UInt8]) {
        while let last = bytes.popLast(), last & 0xC0 == 0x80 {}
    }

    private static func text(_ bytes: [UInt8]) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ClinicSyncError(.usage, "The terminal sends no UTF-8: set the locale to one with UTF-8.")
        }
        return text
    }

    private static func prompt(_ text: String) {
        let bytes = Array(TerminalText.printable(text).utf8)
        // If standard error is closed, there is no prompt; the typed line counts all the same.
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
