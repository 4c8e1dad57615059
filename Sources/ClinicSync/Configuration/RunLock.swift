import Foundation
import Glibc

/// Proof that only this process runs the node of a directory.
///
/// The kernel releases the lock when the process ends for any reason. So a crash leaves nothing to clean up.
package final class RunLock: Sendable {
    private let descriptor: Int32
    private let directory: NodeDirectory

    fileprivate init(descriptor: Int32, directory: NodeDirectory) {
        self.descriptor = descriptor
        self.directory = directory
    }

    deinit {
        // Remove the files before the release of the lock, so that this process never touches the files of a successor.
        unlink(self.directory.apiAddressURL.path)
        unlink(self.directory.pidURL.path)
        close(self.descriptor)
    }
}

extension NodeDirectory {
    private struct APIAddress: Codable {
        var host: String
        var port: Int
    }

    /// Locks the node for this process and writes `run/pid`.
    ///
    /// Releasing the result releases the lock.
    ///
    /// - Throws: ``ClinicSyncError`` of code `alreadyRunning`, with the id of the other process.
    package func lockForRunning() throws -> RunLock {
        try AtomicFile.makeDirectory(self.runDirectoryURL, mode: 0o700)
        let descriptor = open(self.lockURL.path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw AtomicFile.failure(errno, doing: "write", path: self.lockURL.path)
        }
        guard AtomicFile.giveToOwner(descriptor, path: self.lockURL.path) else {
            let code = errno
            close(descriptor)
            throw AtomicFile.failure(code, doing: "write", path: self.lockURL.path)
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            guard code == EWOULDBLOCK else {
                throw AtomicFile.failure(code, doing: "lock", path: self.lockURL.path)
            }
            let process = try self.runningProcess().map { "process \($0)" } ?? "another process"
            throw ClinicSyncError(
                .alreadyRunning,
                "The node in \(self.url.path) is already running as \(process): stop that one first."
            )
        }
        let lock = RunLock(descriptor: descriptor, directory: self)
        // A process that crashed left its address. No program may use this address while this process starts.
        unlink(self.apiAddressURL.path)
        try AtomicFile.write(Array("\(getpid())\n".utf8), to: self.pidURL, mode: 0o600)
        return lock
    }

    /// The process id in `run/pid`, if there is one.
    package func runningProcess() throws -> Int32? {
        guard let bytes = try AtomicFile.read(self.pidURL) else { return nil }
        return Int32(String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// Writes where the local API listens, for programs.
    package func writeAPIAddress(_ address: NetworkAddress) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let bytes = try Array(encoder.encode(APIAddress(host: address.host, port: address.port)))
        try AtomicFile.write(bytes + [UInt8(ascii: "\n")], to: self.apiAddressURL, mode: 0o600)
    }

    /// Where the local API of the running node listens; `nil` when the node does not run.
    package func apiAddress() throws -> NetworkAddress? {
        guard let bytes = try AtomicFile.read(self.apiAddressURL) else { return nil }
        do {
            return try NodeDirectory.apiAddress(in: bytes)
        } catch {
            throw ClinicSyncError(
                .corrupt,
                "\(self.apiAddressURL.path) is damaged: restart the node.",
                cause: error
            )
        }
    }

    /// Reads the content of `run/api.json`.
    ///
    /// - Throws: `DecodingError`, or ``ClinicSyncError`` for an address outside this PC, because programs send their
    ///   token to the address.
    package static func apiAddress(in bytes: [UInt8]) throws -> NetworkAddress {
        let read = try JSONDecoder().decode(APIAddress.self, from: Data(bytes))
        let text = NetworkAddress(host: read.host, port: read.port).description
        let address = try NetworkAddress(parsing: text)
        guard address.isLoopback else {
            throw ClinicSyncError(.addressNotAllowed, "The local API listens on loopback only, not on \(text).")
        }
        return address
    }
}
