import Foundation

/// Looks whether a firewall that Debian and its relatives have is switched on.
///
/// Only root may read the rules, so a firewall is a finding only when a member is missing.
struct Firewall {
    /// The root of the file system; another one in tests.
    let root: String

    /// The active firewall; `nil` when none of the known ones is active.
    var active: String? {
        let settings = FileManager.default.contents(atPath: self.root + "etc/ufw/ufw.conf") ?? Data()
        let lines = String(decoding: settings, as: UTF8.self).lowercased().split(separator: "\n")
        if lines.contains(where: { $0.replacing(" ", with: "") == "enabled=yes" }) { return "ufw" }
        return FileManager.default.fileExists(atPath: self.root + "run/firewalld") ? "firewalld" : nil
    }

    /// Judges the firewall.
    func findings(isMemberMissing: Bool) -> [Finding] {
        guard let active = self.active else {
            return [Finding(ok: "firewall", "Neither ufw nor firewalld is active on this PC.")]
        }
        return isMemberMissing
            ? [Finding(.firewallActive, "The firewall \(active) is active on this PC, and a member is not reached.")]
            : [Finding(ok: "firewall", "The firewall \(active) is active, and keeps no member out.")]
    }
}
