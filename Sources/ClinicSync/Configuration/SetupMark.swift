import Foundation
import Glibc

/// A file that says: a node is being made in this directory, and is not complete.
///
/// Only one process makes a node of a directory, because it locks the file. A process that is killed leaves the file, and the next
/// attempt takes back what that process had made. The kernel releases the lock when the process ends for any reason.
package final class SetupMark: Sendable {
    /// What the interrupted attempt had noted; empty when there was none.
    package let left: [UInt8]
    private let descriptor: Int32
    private let path: String

    private static let bytesMax = 4_096

    /// Makes or takes over the mark.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused` when another process makes a node here, or those of writing files.
    init(at path: String) throws {
        self.path = path
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw AtomicFile.failure(errno, doing: "write", path: path) }
        guard AtomicFile.giveToOwner(descriptor, path: path), flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            guard code == EWOULDBLOCK else { throw AtomicFile.failure(code, doing: "lock", path: path) }
            throw ClinicSyncError(.refused, "Another command makes a node here at this moment: wait until it ends.")
        }
        var bytes = [UInt8](repeating: 0, count: SetupMark.bytesMax)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        self.left = Array(bytes.prefix(max(0, count)))
        self.descriptor = descriptor
    }

    deinit { close(self.descriptor) }

    /// Notes what a further attempt needs, and waits until it is on the disk.
    ///
    /// - Throws: ``ClinicSyncError`` of code `diskFull`, `permission` or `storage`.
    package func note(_ bytes: [UInt8]) throws {
        guard ftruncate(self.descriptor, 0) == 0, pwrite(self.descriptor, bytes, bytes.count, 0) == bytes.count,
            fsync(self.descriptor) == 0
        else { throw AtomicFile.failure(errno, doing: "write", path: self.path) }
    }

    /// Removes the file: the node is complete.
    package func remove() { unlink(self.path) }
}
