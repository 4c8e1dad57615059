import CoreFoundation
import Foundation
import Glibc

/// Notices that the database file was replaced, moved or deleted while the node has it open.
///
/// Programs that open the path then write into another file, or into none, and the node would serve a file that nobody sees.
/// So the run ends, and the service manager starts the node again on the file that is there
/// (`docs/design/0013-own-damage.md`).
final class DatabaseFileWatch: Sendable {
    /// What happened to the file.
    enum Fault: String, Sendable, Hashable {
        /// There is another file at the path.
        case replaced
        /// There is no file at the path.
        case missing
    }

    /// The time between two looks.
    static let interval = Duration.seconds(1)
    /// The time that programs have to receive the event before the run ends.
    static let goodbye = Duration.milliseconds(200)

    /// Linux's `O_PATH`, which glibc shows only to programs that ask for its extensions.
    private static let pathOnly: Int32 = 0o10_000_000

    private let path: String
    /// Names the file without opening it: an ordinary descriptor would end SQLite's locks when it is closed.
    private let descriptor: Int32

    /// Watches the file that is at `path` now.
    init(path: String) {
        self.path = path
        self.descriptor = open(path, DatabaseFileWatch.pathOnly | O_CLOEXEC)
    }

    deinit { if self.descriptor >= 0 { close(self.descriptor) } }

    /// What is wrong now; `nil` while the watched file is at its path.
    var fault: Fault? {
        guard let watched = self.watched else { return nil }
        var present = stat()
        guard stat(self.path, &present) == 0 else { return errno == ENOENT || errno == ENOTDIR ? .missing : nil }
        return present.st_dev == watched.st_dev && present.st_ino == watched.st_ino ? nil : .replaced
    }

    /// Whether no path leads to the watched file any more, so that its content is gone when the node closes it.
    var isUnlinked: Bool { self.watched.map { $0.st_nlink == 0 } ?? false }

    private var watched: stat? {
        var information = stat()
        guard self.descriptor >= 0, fstat(self.descriptor, &information) == 0 else { return nil }
        return information
    }

    /// Looks once a second until something is wrong.
    ///
    /// - Throws: `CancellationError`.
    func run() async throws -> Fault {
        while true {
            try await Task.sleep(for: DatabaseFileWatch.interval)
            if let fault = self.fault { return fault }
        }
    }
}
