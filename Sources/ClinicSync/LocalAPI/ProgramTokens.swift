import ClinicSyncModel
import Foundation
import Glibc

/// The tokens that administrators made for programs of this PC: the file `identity/tokens.json` of the node's directory.
///
/// Commands change the file, whether the node runs or not. A running node sees that at the next request: it looks at the file's
/// metadata, and reads the file when that has changed.
package struct ProgramTokens: Sendable {
    /// The largest number of tokens of a node.
    package static let countMax = 100

    private let directory: NodeDirectory

    /// The tokens of the node in `directory`.
    package init(_ directory: NodeDirectory) { self.directory = directory }

    /// Reads all tokens, in the order in which they were made.
    ///
    /// - Throws: ``ClinicSyncError`` of code `corrupt`, `permission` or `storage`.
    package func list() throws -> [ProgramToken] {
        guard let bytes = try AtomicFile.read(self.directory.tokensURL) else { return [] }
        do {
            let decoder = JSONDecoder()
            decoder.dateDecodingStrategy = .iso8601
            return try decoder.decode([ProgramToken].self, from: Data(bytes))
        } catch {
            throw ClinicSyncError(
                .corrupt,
                "\(self.directory.tokensURL.path) is damaged: delete it, and make the tokens again.",
                cause: error
            )
        }
    }

    /// Makes a token.
    ///
    /// - Parameters:
    ///   - name: a name that no other token has, of 1 to ``ProgramToken/nameCharactersMax`` characters.
    ///   - rights: what it allows; at least one.
    ///   - tables: the only tables whose changes it shows; empty: all. They limit ``TokenRight/events`` alone, so a token with
    ///     tables has no other right.
    /// - Returns: The secret, which is stored nowhere.
    /// - Throws: ``ClinicSyncError`` of code `usage` or `refused`, or of the file.
    package func add(_ name: String, rights: Set<TokenRight>, tables: Set<String>) throws -> String {
        guard (1...ProgramToken.nameCharactersMax).contains(name.count), !name.contains(where: \.isNewline) else {
            throw ClinicSyncError(
                .usage,
                "A token's name has 1 to \(ProgramToken.nameCharactersMax) characters: choose such a name."
            )
        }
        guard !rights.isEmpty else { throw ClinicSyncError(.usage, "A token needs a right: name one with --right.") }
        guard tables.isEmpty || rights == [.events] else {
            throw ClinicSyncError(.usage, "Tables limit events only: leave out --table, or all rights but events.")
        }
        let secret = NodeDirectory.randomToken()
        try self.change { tokens in
            guard !tokens.contains(where: { $0.name == name }) else {
                throw ClinicSyncError(
                    .refused,
                    "There is a token \(name) already: remove it first, or choose another name."
                )
            }
            guard tokens.count < ProgramTokens.countMax else {
                throw ClinicSyncError(.refused, "There are \(ProgramTokens.countMax) tokens already: remove one first.")
            }
            tokens.append(
                ProgramToken(name: name, rights: rights, tables: tables, created: Date(), secret: Array(secret.utf8))
            )
        }
        return secret
    }

    /// Removes a token: its holder is refused from the next request on.
    ///
    /// - Throws: ``ClinicSyncError`` of code `usage` when there is none of this name, or of the file.
    package func remove(_ name: String) throws {
        try self.change { tokens in
            guard let index = tokens.firstIndex(where: { $0.name == name }) else {
                throw ClinicSyncError(.usage, "There is no token \(name): clinic-node tokens lists them.")
            }
            tokens.remove(at: index)
        }
    }

    /// What changes with each change of the file; `nil` when there is no file that can be seen.
    func version() -> FileVersion? {
        guard let file = try? FileManager.default.attributesOfItem(atPath: self.directory.tokensURL.path) else {
            return nil
        }
        return FileVersion(
            number: (file[.systemFileNumber] as? NSNumber)?.uint64Value,
            changed: file[.modificationDate] as? Date
        )
    }

    /// Identifies a content of the file: each change makes a file of its own.
    struct FileVersion: Sendable, Hashable {
        let number: UInt64?
        let changed: Date?
    }

    /// Changes the file; two commands at the same time do so one after the other.
    private func change(_ body: (inout [ProgramToken]) throws -> Void) throws {
        let folder = self.directory.identityDirectoryURL
        try AtomicFile.makeDirectory(folder, mode: 0o700)
        let path = folder.path
        let lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard lock >= 0 else { throw AtomicFile.failure(errno, doing: "open", path: path) }
        defer { close(lock) }
        guard flock(lock, LOCK_EX) == 0 else { throw AtomicFile.failure(errno, doing: "lock", path: path) }
        var tokens = try self.list()
        try body(&tokens)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        encoder.dateEncodingStrategy = .iso8601
        try AtomicFile.write(
            Array(encoder.encode(tokens)) + [UInt8(ascii: "\n")],
            to: self.directory.tokensURL,
            mode: 0o600
        )
    }
}
