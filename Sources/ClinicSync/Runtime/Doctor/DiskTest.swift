import Foundation
import Glibc

/// Measures how long the disk takes to flush, and whether it takes a write.
struct DiskTest {
    /// The directory in which the test writes a small file.
    let directory: String

    private static let flushes = 5
    private static let bytes = 4_096
    /// A disk needs some milliseconds.
    private static let slow = Duration.milliseconds(500)

    /// Writes and flushes; blocks for as long as the disk takes.
    func findings() -> [Finding] {
        let path = self.directory + "/.doctor-\(getpid())"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return [DiskTest.finding(errno)] }
        defer {
            close(descriptor)
            unlink(path)
        }
        var times: [Duration] = []
        let block = [UInt8](repeating: 0, count: DiskTest.bytes)
        for _ in 0..<DiskTest.flushes {
            let start = ContinuousClock.now
            guard write(descriptor, block, block.count) == block.count, fsync(descriptor) == 0 else {
                return [DiskTest.finding(errno)]
            }
            times.append(start.duration(to: .now))
        }
        return [DiskTest.finding(times.sorted()[DiskTest.flushes / 2])]
    }

    /// Judges the median of the flushes.
    static func finding(_ median: Duration) -> Finding {
        let milliseconds = "\((median / .milliseconds(1) * 10).rounded() / 10) ms"
        return median < DiskTest.slow
            ? Finding(ok: "disk", "The disk takes writes; a flush takes \(milliseconds).")
            : Finding(.diskSlow, "A flush of the disk takes \(milliseconds).")
    }

    /// Judges an error of the system.
    static func finding(_ code: Int32) -> Finding {
        let reason = String(cString: strerror(code))
        return switch code {
        case ENOSPC, EDQUOT: Finding(.diskFull, "The disk takes no file of \(DiskTest.bytes) bytes: \(reason).")
        case EROFS, EACCES, EPERM: Finding(.diskReadOnly, "The node's directory takes no file: \(reason).")
        default: Finding(.diskFailing, "The disk fails: \(reason).")
        }
    }
}
