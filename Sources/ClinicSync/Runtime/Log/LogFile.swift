import Glibc
import NIOConcurrencyHelpers

/// A log file that begins again when it is large, and keeps a few earlier ones.
///
/// The earlier ones have a number after the name; `.1` is the newest.
package final class LogFile: Sendable {
    private struct State {
        /// The open file; negative while it cannot be opened.
        var descriptor: Int32
        /// Its size in bytes.
        var size: Int
    }

    private let path: String
    private let bytesMax: Int
    private let earlierMax: Int
    private let state: NIOLockedValueBox<State>

    /// Opens or makes a file, readable by its owner alone.
    ///
    /// - Parameters:
    ///   - path: the file. Its directory must exist.
    ///   - bytesMax: the size at which the file begins again.
    ///   - earlierMax: how many earlier files are kept.
    package init(path: String, bytesMax: Int = 10 << 20, earlierMax: Int = 3) {
        self.path = path
        self.bytesMax = bytesMax
        self.earlierMax = earlierMax
        self.state = NIOLockedValueBox(LogFile.open(path))
    }

    deinit {
        let descriptor = self.state.withLockedValue { $0.descriptor }
        if descriptor >= 0 { close(descriptor) }
    }

    /// Writes a line; from any thread.
    ///
    /// - Parameter line: the line without its end.
    /// - Returns: Whether it is in the file; `false` when the disk is full, for example.
    package func write(_ line: String) -> Bool {
        let bytes = Array((line + "\n").utf8)
        return self.state.withLockedValue { state in
            if state.size > 0, state.size &+ bytes.count > self.bytesMax { self.rotate(&state) }
            if state.descriptor < 0 { state = LogFile.open(self.path) }
            guard state.descriptor >= 0 else { return false }
            let written = Glibc.write(state.descriptor, bytes, bytes.count)
            if written > 0 { state.size &+= written }
            return written == bytes.count
        }
    }

    private func rotate(_ state: inout State) {
        if state.descriptor >= 0 { close(state.descriptor) }
        for number in stride(from: self.earlierMax, to: 1, by: -1) {
            rename("\(self.path).\(number &- 1)", "\(self.path).\(number)")
        }
        // When it cannot be renamed, the file goes on and becomes larger: lines are worth more than room.
        if self.earlierMax > 0 { rename(self.path, "\(self.path).1") }
        state = LogFile.open(self.path)
    }

    private static func open(_ path: String) -> State {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return State(descriptor: -1, size: 0) }
        return State(descriptor: descriptor, size: max(0, Int(clamping: lseek(descriptor, 0, SEEK_END))))
    }
}
