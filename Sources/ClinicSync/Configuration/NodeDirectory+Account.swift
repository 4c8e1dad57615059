import Foundation
import Glibc

/// The account that a package has made for the node, for administrators who call the program as root.
extension NodeDirectory {
    /// Makes this process that of the account to which the directory belongs, when it is root's and the account is another one.
    ///
    /// Everything that the process makes then belongs to the account that runs the node. A directory that other accounts may write
    /// cannot make root touch files which that account may not touch.
    ///
    /// - Parameter isForGood: whether there is no way back; otherwise ``becomeRootAgain()`` is one.
    /// - Throws: ``ClinicSyncError`` of code `permission`.
    package func becomeOwner(isForGood: Bool = true) throws {
        var information = stat()
        guard geteuid() == 0, stat(self.url.path, &information) == 0, information.st_uid != 0 else { return }
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 1 << 16)
        let isKnown = getpwuid_r(information.st_uid, &entry, &buffer, buffer.count, &found) == 0 && found != nil
        // An account without a name, as in a container, has the group of its directory.
        let group = isKnown ? entry.pw_gid : information.st_gid
        let isInGroups = isKnown ? initgroups(entry.pw_name, group) == 0 : setgroups(0, nil) == 0
        let isDone =
            isForGood
            ? setgid(group) == 0 && setuid(information.st_uid) == 0
            : setegid(group) == 0 && seteuid(information.st_uid) == 0
        guard isInGroups, isDone else {
            throw ClinicSyncError(
                .permission,
                "\(self.url.path) belongs to account \(information.st_uid), and root cannot act as that account here: "
                    + "run the command as the account itself."
            )
        }
    }
    /// Ends what ``becomeOwner(isForGood:)`` did for a time; without it, nothing happens.
    ///
    /// - Throws: ``ClinicSyncError`` of code `permission`.
    package static func becomeRootAgain() throws {
        guard getuid() == 0, geteuid() != 0 else { return }
        guard seteuid(0) == 0, setegid(0) == 0 else {
            throw ClinicSyncError(.permission, "This process could not become root again: run the rest as root.")
        }
    }
}
