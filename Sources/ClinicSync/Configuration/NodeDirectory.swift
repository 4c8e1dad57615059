import ClinicSyncModel
package import Foundation
import Glibc

/// The directory of a node: the locations of its files, and how they are made, read and protected.
///
/// Files with secrets have mode 0600, independent of the umask; every write is atomic.
package struct NodeDirectory: Sendable, Hashable {
    /// The directory itself.
    package let url: URL

    /// Names a directory, without reading or making anything.
    package init(url: URL) {
        self.url = url.standardizedFileURL
    }

    /// Finds the directory by the rule for the default place.
    ///
    /// The order of precedence is: the flag, `CLINIC_NODE_DATA`, `/var/lib/clinic-node` for root, then
    /// `$XDG_DATA_HOME/clinic-node`, which is `~/.local/share/clinic-node` when the variable is unset.
    package static func locate(
        flag: String?,
        environment: [String: String],
        isRoot: Bool
    ) throws -> NodeDirectory {
        func named(_ path: String) -> NodeDirectory { NodeDirectory(url: URL(fileURLWithPath: path)) }
        if let flag, !flag.isEmpty { return named(flag) }
        if let path = environment["CLINIC_NODE_DATA"], !path.isEmpty { return named(path) }
        if isRoot { return named("/var/lib/clinic-node") }
        // The XDG specification says that programs must ignore relative paths.
        if let path = environment["XDG_DATA_HOME"], path.hasPrefix("/") { return named(path + "/clinic-node") }
        guard let home = environment["HOME"], home.hasPrefix("/") else {
            throw ClinicSyncError(.configuration, "There is no home directory: name the data directory with --data.")
        }
        return named(home + "/.local/share/clinic-node")
    }

    /// The SQLite database that programs open.
    package var databaseURL: URL { self.file("clinic.db") }
    /// Identity, keys and certificates.
    ///
    /// The directory has mode 0700 and its files 0600.
    package var identityDirectoryURL: URL { self.file("identity") }
    /// The node's identity.
    package var identityURL: URL { self.file("identity/identity.json") }
    /// The node's private key.
    package var nodeKeyURL: URL { self.file("identity/node.key") }
    /// The node's certificate, and its signer's certificate when the signer is not the authority.
    package var certificatesURL: URL { self.file("identity/node.crt") }
    /// The certificate of the clinic's authority.
    package var authorityURL: URL { self.file("identity/ca.crt") }
    /// The private key of the clinic's authority; only on the node that made the clinic.
    package var authorityKeyURL: URL { self.file("identity/ca.key") }
    /// The grant of the right to sign; only on nodes with the right.
    package var grantURL: URL { self.file("identity/signer.crt") }
    /// Open join codes, without the secrets that allow a join.
    package var invitationsURL: URL { self.file("identity/invitations.json") }
    /// The PCs that joined here, for people.
    package var admissionsURL: URL { self.file("identity/admissions.json") }
    /// Signed revocations.
    package var revocationsURL: URL { self.file("identity/revocations.json") }
    /// What is known of the members.
    package var membersURL: URL { self.file("identity/members.json") }
    /// The signed statement of the greatest known epoch.
    package var epochURL: URL { self.file("identity/epoch") }
    /// There while a node is being made, and after an attempt that was interrupted.
    package var setupURL: URL { self.file("identity/unfinished") }
    /// The configuration; the file is optional.
    package var configurationURL: URL { self.file("node.json") }
    /// The bearer token of the local API.
    package var tokenURL: URL { self.file("api.token") }
    /// The tokens of programs, without their secrets.
    ///
    /// It is where no other account can put a file, also when a group shares the node's directory.
    package var tokensURL: URL { self.file("identity/tokens.json") }
    /// The directory for files of the running process.
    package var runDirectoryURL: URL { self.file("run") }
    /// The process id of the running node.
    package var pidURL: URL { self.file("run/pid") }
    /// Where the local API listens.
    package var apiAddressURL: URL { self.file("run/api.json") }
    /// Locked while the node runs.
    package var lockURL: URL { self.file("run/lock") }

    /// Whether the directory contains a node, or a database without one.
    ///
    /// What an interrupted `init` or `join` has left is no node.
    package var holdsNode: Bool {
        if FileManager.default.fileExists(atPath: self.identityURL.path) { return true }
        return FileManager.default.fileExists(atPath: self.databaseURL.path)
            && !FileManager.default.fileExists(atPath: self.setupURL.path)
    }

    /// Makes sure that the directory contains no node.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused` when it contains one.
    package func requireVacant() throws {
        guard !self.holdsNode else {
            throw ClinicSyncError(
                .refused,
                "\(self.url.path) already holds a node: use it, or name another directory with --data."
            )
        }
    }

    /// Makes the directory and its content, except identity and database; takes back what an interrupted attempt has left.
    ///
    /// - Returns: The mark that the node is not complete. Remove it after the identity is written.
    /// - Throws: ``ClinicSyncError`` of code `refused` when it already contains a node, or another process makes one; `permission`.
    @discardableResult
    package func create() throws -> SetupMark {
        try self.requireVacant()
        try AtomicFile.makeDirectory(self.url, mode: 0o700)
        try AtomicFile.makeDirectory(self.identityDirectoryURL, mode: 0o700)
        try AtomicFile.makeDirectory(self.runDirectoryURL, mode: 0o700)
        do {
            // Before any key is written into a directory that an account of the group has made.
            try self.requirePrivate()
        } catch {
            self.removeDirectories()
            throw error
        }
        let mark = try SetupMark(at: self.setupURL.path)
        // Another process may have made the node meanwhile.
        try self.requireVacant()
        try self.setAsideDatabase()
        self.removeUnfinished()
        try AtomicFile.write(Array(NodeDirectory.randomToken().utf8), to: self.tokenURL, mode: 0o600)
        return mark
    }

    /// Removes the files of ``create()`` and of the new database, after a later step failed.
    ///
    /// The method removes nothing else. Directories with other files stay.
    package func takeBackCreation() {
        self.removeUnfinished()
        unlink(self.setupURL.path)
        self.removeDirectories()
    }

    private func removeDirectories() {
        for directory in [self.identityDirectoryURL, self.runDirectoryURL, self.url] { rmdir(directory.path) }
    }

    /// Gives a database that was there before this attempt another name: it may be more than what an interrupted attempt has left.
    private func setAsideDatabase() throws {
        let path = self.databaseURL.path
        guard FileManager.default.fileExists(atPath: path) else { return }
        var number = 1
        var name: String { "\(path).unfinished-\(number)" }
        while FileManager.default.fileExists(atPath: name) { number &+= 1 }
        // The log first: after an interruption the database is still found, and gets the same number.
        for suffix in ["-wal", ""] where FileManager.default.fileExists(atPath: path + suffix) {
            guard rename(path + suffix, name + suffix) == 0 else {
                throw AtomicFile.failure(errno, doing: "rename", path: path + suffix)
            }
        }
    }

    /// Removes what the last attempt left, after the node turned out to be complete.
    package func removeSetupMark() { unlink(self.setupURL.path) }

    private func removeUnfinished() {
        for name in [
            "clinic.db", "clinic.db-wal", "clinic.db-shm", "clinic.db-journal", "clinic.db-numbers", "api.token",
        ] {
            unlink(self.file(name).path)
        }
        for url in [
            self.identityURL, self.nodeKeyURL, self.certificatesURL, self.authorityURL, self.authorityKeyURL,
            self.grantURL, self.tokensURL, self.admissionsURL,
            self.invitationsURL, self.revocationsURL, self.membersURL, self.epochURL,
        ] {
            unlink(url.path)
        }
    }

    /// Writes the identity.
    ///
    /// After this step the directory contains a node. So an interrupted `init` leaves none.
    package func write(_ identity: NodeIdentity) throws {
        try AtomicFile.makeDirectory(self.identityDirectoryURL, mode: 0o700)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let bytes = try Array(encoder.encode(identity)) + [UInt8(ascii: "\n")]
        try AtomicFile.write(bytes, to: self.identityURL, mode: 0o600)
    }

    /// Reads the identity.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notANode`, also for a node from a version without certificates, or
    ///   `corrupt`.
    package func identity() throws -> NodeIdentity {
        guard let bytes = try AtomicFile.read(self.identityURL) else {
            throw ClinicSyncError(
                .notANode,
                "\(self.url.path) holds no node: make one with clinic-node init or join, or name its directory with --data."
            )
        }
        do {
            let identity = try JSONDecoder().decode(NodeIdentity.self, from: Data(bytes))
            let former = try JSONDecoder().decode(FormerIdentity.self, from: Data(bytes))
            let isComplete = [self.nodeKeyURL, self.certificatesURL, self.authorityURL].allSatisfy { url in
                FileManager.default.fileExists(atPath: url.path)
            }
            guard former.clinicSecret == nil, isComplete else { throw self.madeWithoutCertificates() }
            return identity
        } catch let error as ClinicSyncError {
            throw error
        } catch {
            throw ClinicSyncError(
                .corrupt,
                "\(self.identityURL.path) is damaged: restore it from a backup.",
                cause: error
            )
        }
    }

    /// The key that exists only in files of a version without certificates.
    private struct FormerIdentity: Codable {
        var clinicSecret: String?
    }

    /// Returns the error for a node that has no key and certificate.
    func madeWithoutCertificates() -> ClinicSyncError {
        ClinicSyncError(
            .notANode,
            "The node in \(self.url.path) has no certificate, perhaps because an older version made it: "
                + "join the clinic again, or make a new one with clinic-node init, in another directory."
        )
    }

    /// Reads the local API's token.
    package func token() throws -> String {
        guard let bytes = try AtomicFile.read(self.tokenURL) else {
            throw ClinicSyncError(
                .notANode,
                "\(self.tokenURL.path) is missing: start the node again with clinic-node run, which makes a new one."
            )
        }
        return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Reads the local API's token, and makes a token when the file is missing.
    package func tokenMakingIfMissing() throws -> String {
        if try AtomicFile.read(self.tokenURL) == nil {
            try AtomicFile.write(Array(NodeDirectory.randomToken().utf8), to: self.tokenURL, mode: 0o600)
        }
        return try self.token()
    }

    /// Returns 32 random bytes in base64url.
    static func randomToken() -> String {
        var generator = SystemRandomNumberGenerator()
        return Data([UInt8](count: 32, using: &generator)).base64EncodedString()
            .replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }

    private func file(_ name: String) -> URL { self.url.appendingPathComponent(name) }
}
