import Foundation

/// Looks whether a time service keeps the PC's clock right, by the files of those that Linux distributions have.
struct TimeService {
    /// The root of the file system; another one in tests.
    let root: String

    /// Files that systemd-timesyncd makes at its first success, and process numbers of chrony and ntpd.
    private static let files = [
        "run/systemd/timesync/synchronized", "run/chrony/chronyd.pid", "run/chronyd.pid", "run/ntpd.pid",
        "run/ntpsec/ntpd.pid", "run/openntpd.pid",
    ]

    /// The judgement.
    var finding: Finding {
        TimeService.files.contains { FileManager.default.fileExists(atPath: self.root + $0) }
            ? Finding(ok: "clock", "A time service keeps this PC's clock right.")
            : Finding(.clockUnsynchronised, "No time service keeps this PC's clock right.")
    }
}
