import ClinicSync
import Foundation
import Glibc

/// The service of the package: systemd runs the node of `/var/lib/clinic-node`.
enum SystemService {
    private static let unit = "clinic-node.service"
    private static let directory = "/var/lib/clinic-node"
    private static let unitFolders = ["/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"]

    /// What a person does next, after the node is made.
    static func nextStep(for directory: NodeDirectory) -> String {
        SystemService.isFor(directory)
            ? "Start it with: systemctl start clinic-node"
            : "Start it with: clinic-node run --data \(directory.url.path)"
    }

    /// Makes sure that the service can be started, before anything is made.
    ///
    /// - Throws: ``ClinicSyncError`` of code `usage`.
    static func require(for directory: NodeDirectory) throws {
        guard geteuid() == 0 else {
            throw ClinicSyncError(
                .usage,
                "--service starts the system's service: run the command as root, or with sudo."
            )
        }
        guard SystemService.isFor(directory) else {
            throw ClinicSyncError(
                .usage,
                "--service is for the package's node in \(SystemService.directory): install the package and leave out --data."
            )
        }
        guard FileManager.default.fileExists(atPath: "/run/systemd/system") else {
            throw ClinicSyncError(
                .usage,
                "systemd does not run on this PC: leave out --service, and start the node yourself."
            )
        }
    }

    /// Starts the service, now and with the PC.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notReachable`; the node is made all the same.
    static func start() throws {
        let failure = ClinicSyncError(
            .notReachable,
            "The node is made, but its service did not start: journalctl -u clinic-node says why."
        )
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["systemctl", "enable", "--now", SystemService.unit]
        process.standardOutput = FileHandle.standardError
        do { try process.run() } catch { throw failure }
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw failure }
        Output.report("The service clinic-node runs, and starts with this PC")
    }

    private static func isFor(_ directory: NodeDirectory) -> Bool {
        directory.url.path == SystemService.directory
            && SystemService.unitFolders.contains { folder in
                FileManager.default.fileExists(atPath: folder + "/" + SystemService.unit)
            }
    }
}
