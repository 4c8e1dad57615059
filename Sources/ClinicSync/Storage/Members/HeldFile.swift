import Foundation
import Glibc

/// A file that is recognised again whatever happens to its name.
///
/// Any thread may ask.
package final class HeldFile: Sendable {
    /// What happened to the name of the file.
    package enum Fault: String, Sendable, Hashable {
        /// There is another file at the path.
        case replaced
        /// There is no file at the path.
        case missing
    }

    /// Linux's `O_PATH`, which glibc shows only to programs that ask for its extensions.
    private static let pathOnly: Int32 = 0o10_000_000

    private let path: String
    /// Names the file without opening it: an ordinary descriptor would end SQLite's locks when it is closed.
    private let descriptor: Int32

    /// Holds the file that is at `path` now.
    package init(path: String) {
        self.path = path
        self.descriptor = open(path, HeldFile.pathOnly | O_CLOEXEC)
    }

    /// Whether there was a file to hold.
    package var isHeld: Bool { self.descriptor >= 0 }

    deinit { if self.descriptor >= 0 { close(self.descriptor) } }

    /// What is wrong now; `nil` while the held file is at its path.
    package var fault: Fault? {
        guard let held = self.held else { return nil }
        var present = stat()
        guard stat(self.path, &present) == 0 else { return errno == ENOENT || errno == ENOTDIR ? .missing : nil }
        return present.st_dev == held.st_dev && present.st_ino == held.st_ino ? nil : .replaced
    }

    /// Whether no path leads to the held file any more, so that its content is gone when the node closes it.
    package var isUnlinked: Bool { self.held.map { $0.st_nlink == 0 } ?? false }

    private var held: stat? {
        var information = stat()
        guard self.descriptor >= 0, fstat(self.descriptor, &information) == 0 else { return nil }
        return information
    }
}
