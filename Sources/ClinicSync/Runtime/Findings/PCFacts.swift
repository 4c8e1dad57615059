import ClinicSyncCore
import Foundation
import Glibc

/// What the system says of this PC, as far as the node depends on it.
struct PCFacts: Sendable, Hashable {
    /// The bytes that the account may still write on the disk of the node's directory.
    var freeBytes: UInt64 = .max
    /// The size of the write-ahead log.
    var logBytes: Int64 = 0
    /// A process other than the node that reads the database while the log is large.
    var reader: String?
    /// Whether the account has a free instance of inotify and a free watch.
    var hasEvents = true
    /// The open descriptors of this process, and how many it may have.
    var openFiles = 0
    /// The most descriptors that this process may have open.
    var openFilesMax = Int.max
    /// When the newest backup of this PC was made, milliseconds since 1970; `nil` when none was made here.
    var backupAt: Int64?

    /// A log of this size means that it cannot begin again.
    static let logBytesMax: Int64 = 64 << 20
    /// With less room than this the disk counts as nearly full.
    static let freeBytesMin: UInt64 = 256 << 20
    /// A backup older than this is old, in milliseconds.
    static let backupAgeMax: Int64 = 7 * 86_400_000

    /// Reads the facts; it takes less than a millisecond.
    ///
    /// - Parameter directory: the node's directory.
    /// - Returns: The facts; what the system does not tell has the value of a PC that is well.
    static func read(of directory: NodeDirectory) -> PCFacts {
        var facts = PCFacts()
        let database = directory.databaseURL.path
        facts.freeBytes = SlowDiskWatch.freeBytes(at: directory.url.path)
        let log = try? FileManager.default.attributesOfItem(atPath: database + "-wal")
        if let bytes = log?[.size] as? NSNumber { facts.logBytes = bytes.int64Value }
        if facts.logBytes > PCFacts.logBytesMax {
            facts.reader = LockHolder.reader(databasePath: database).map { "\($0.program) (process \($0.process))" }
        }
        facts.hasEvents = CommitWatcher.canWatch(directory.url.path)
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            facts.openFilesMax = Int(clamping: limit.rlim_cur)
        }
        facts.openFiles = PCFacts.countOpenFiles()
        facts.backupAt = BackupNote.read(in: directory)?.madeAt.milliseconds
        return facts
    }

    private static func countOpenFiles() -> Int {
        guard let directory = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count &+= 1 }
        return count
    }

    /// What is not well by these facts.
    ///
    /// - Parameter now: milliseconds since 1970.
    /// - Returns: One finding for each; none when all is well.
    func findings(at now: Int64) -> [Finding] {
        var findings: [Finding] = []
        if self.freeBytes < PCFacts.freeBytesMin {
            findings.append(
                Finding(.diskNearlyFull, "The disk under clinic.db has \(PCFacts.megabytes(self.freeBytes)) MB left.")
            )
        }
        if self.logBytes > PCFacts.logBytesMax {
            let reader = self.reader ?? "a program"
            findings.append(
                Finding(
                    .logGrows,
                    "The write-ahead log of clinic.db has \(PCFacts.megabytes(UInt64(clamping: self.logBytes))) MB: "
                        + "\(reader) keeps a read transaction open."
                )
            )
        }
        if !self.hasEvents {
            findings.append(Finding(.inotifyLimit, "This account has no free instance or watch of inotify."))
        }
        if self.openFiles > self.openFilesMax / 5 * 4 {
            findings.append(
                Finding(
                    .fileLimit,
                    "The node has \(self.openFiles) files open of \(self.openFilesMax) that it may have."
                )
            )
        }
        if let backupAt = self.backupAt, now - backupAt > PCFacts.backupAgeMax {
            findings.append(
                Finding(
                    .backupOld,
                    "The newest backup of this PC is \((now - backupAt) / 86_400_000) days old.",
                    since: UTCTimestamp(milliseconds: backupAt)
                )
            )
        }
        return findings
    }

    private static func megabytes(_ bytes: UInt64) -> UInt64 { bytes >> 20 }
}
