import ClinicSyncModel
import Foundation
import Glibc
import SwiftASN1

/// The files of a node's identity directory other than `identity.json`: key, certificates, grant, and revocations.
package struct IdentityFiles: Sendable {
    /// The node's key.
    package var key: SigningKey
    /// The node's certificate in DER, then its signers' certificates without the authority's.
    package var certificates: [[UInt8]]
    /// The authority.
    package var authority: ClinicAuthority
    /// The authority's private key, on the node that made the clinic.
    package var authorityKey: SigningKey?
    /// This node's grant, in DER.
    package var grant: [UInt8]?
    /// Signed revocations.
    package var revocations: [[UInt8]]
    /// The signed statement of the greatest known epoch.
    package var epoch: [UInt8]?

    /// The largest size of the revocations file in bytes.
    static let revocationsBytesMax = 256 << 20

    /// Makes the files of a node.
    package init(
        key: SigningKey,
        certificates: [[UInt8]],
        authority: ClinicAuthority,
        authorityKey: SigningKey? = nil,
        grant: [UInt8]? = nil,
        revocations: [[UInt8]] = [],
        epoch: [UInt8]? = nil
    ) {
        self.key = key
        self.certificates = certificates
        self.authority = authority
        self.authorityKey = authorityKey
        self.grant = grant
        self.revocations = revocations
        self.epoch = epoch
    }

    /// Makes a new clinic: its authority, and its first node, which holds the authority's key.
    package static func found(at now: Int64) throws -> IdentityFiles {
        let authorityKey = SigningKey()
        let authority = try ClinicAuthority(making: authorityKey, at: now)
        let key = SigningKey()
        return IdentityFiles(
            key: key,
            certificates: try LeafIssuer(authority: authority, key: authorityKey).issue(for: key.publicKey, at: now),
            authority: authority,
            authorityKey: authorityKey
        )
    }

    /// Writes all files; for a new node, before its `identity.json`.
    ///
    /// - Throws: ``ClinicSyncError`` of code `diskFull`, `permission` or `storage`.
    package func write(to directory: NodeDirectory) throws {
        try AtomicFile.makeDirectory(directory.identityDirectoryURL, mode: 0o700)
        try IdentityFiles.write(self.key.pem, to: directory.nodeKeyURL)
        try IdentityFiles.write(IdentityFiles.pem(self.authority.der), to: directory.authorityURL)
        if let key = self.authorityKey { try IdentityFiles.write(key.pem, to: directory.authorityKeyURL) }
        if let grant = self.grant { try IdentityFiles.write(IdentityFiles.pem(grant), to: directory.grantURL) }
        try IdentityFiles.write(revocations: self.revocations, to: directory)
        try IdentityFiles.write(certificates: self.certificates, to: directory)
    }

    /// Reads all files.
    ///
    /// - Throws: ``ClinicSyncError`` of code `permission` when other accounts may read them, with the command that
    ///   repairs it; `notANode` when the key or a certificate is missing; `corrupt` when a file is invalid.
    package static func read(from directory: NodeDirectory) throws -> IdentityFiles {
        try IdentityFiles.checkPermissions(of: directory)
        guard let key = try AtomicFile.read(directory.nodeKeyURL),
            let certificates = try AtomicFile.read(directory.certificatesURL),
            let authority = try AtomicFile.read(directory.authorityURL)
        else { throw directory.madeWithoutCertificates() }
        return IdentityFiles(
            key: try IdentityFiles.reading(directory.nodeKeyURL) { try SigningKey(pem: IdentityFiles.text(key)) },
            certificates: try IdentityFiles.reading(directory.certificatesURL) { try IdentityFiles.ders(certificates) },
            authority: try IdentityFiles.reading(directory.authorityURL) {
                try ClinicAuthority(der: IdentityFiles.der(authority))
            },
            authorityKey: try IdentityFiles.optional(directory.authorityKeyURL) {
                try SigningKey(pem: IdentityFiles.text($0))
            },
            grant: try IdentityFiles.optional(directory.grantURL, IdentityFiles.der),
            revocations: try IdentityFiles.revocations(in: directory),
            epoch: try AtomicFile.read(directory.epochURL)
        )
    }

    /// Replaces the certificates.
    static func write(certificates: [[UInt8]], to directory: NodeDirectory) throws {
        let text = certificates.map(IdentityFiles.pem).joined()
        try IdentityFiles.write(text, to: directory.certificatesURL)
    }

    /// Replaces the grant.
    static func write(grant: [UInt8], to directory: NodeDirectory) throws {
        try IdentityFiles.write(IdentityFiles.pem(grant), to: directory.grantURL)
    }

    /// Replaces the statement of the greatest known epoch.
    static func write(epoch statement: [UInt8], to directory: NodeDirectory) throws {
        try AtomicFile.write(statement, to: directory.epochURL, mode: 0o600)
    }

    /// Replaces the revocations.
    static func write(revocations: [[UInt8]], to directory: NodeDirectory) throws {
        let text = try JSONEncoder().encode(revocations.map { Data($0) })
        try AtomicFile.write(Array(text) + [UInt8(ascii: "\n")], to: directory.revocationsURL, mode: 0o600)
    }

    private static func revocations(in directory: NodeDirectory) throws -> [[UInt8]] {
        let url = directory.revocationsURL
        guard let bytes = try AtomicFile.read(url, limit: IdentityFiles.revocationsBytesMax) else { return [] }
        return try IdentityFiles.reading(url) {
            try JSONDecoder().decode([Data].self, from: Data(bytes)).map(Array.init)
        }
    }

    // MARK: - PEM

    private static func pem(_ der: [UInt8]) -> String {
        PEMDocument(type: "CERTIFICATE", derBytes: der).pemString + "\n"
    }

    private static func ders(_ bytes: [UInt8]) throws -> [[UInt8]] {
        try PEMDocument.parseMultiple(pemString: IdentityFiles.text(bytes)).map(\.derBytes)
    }

    private static func der(_ bytes: [UInt8]) throws -> [UInt8] {
        try PEMDocument(pemString: IdentityFiles.text(bytes)).derBytes
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    private static func write(_ text: String, to url: URL) throws {
        try AtomicFile.write(Array(text.utf8), to: url, mode: 0o600)
    }

    private static func optional<Value>(_ url: URL, _ body: ([UInt8]) throws -> Value) throws -> Value? {
        guard let bytes = try AtomicFile.read(url) else { return nil }
        return try IdentityFiles.reading(url) { try body(bytes) }
    }

    private static func reading<Value>(_ url: URL, _ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch {
            throw ClinicSyncError(
                .corrupt,
                "\(url.path) is damaged: restore it from a backup, or join the clinic again.",
                cause: error
            )
        }
    }

    // MARK: - Permissions

    /// Refuses keys that other accounts may read or replace.
    ///
    /// - Throws: ``ClinicSyncError`` of code `permission`, with the command that repairs it.
    package static func checkPermissions(of directory: NodeDirectory) throws {
        let folder = directory.identityDirectoryURL.path
        guard let mode = try AtomicFile.mode(of: folder) else { return }
        var commands = [String]()
        if mode & 0o077 != 0 { commands.append("chmod 700 " + ShellText.quoted(folder)) }
        let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted().map { folder + "/" + $0 }
        let open = try files.filter { try (AtomicFile.mode(of: $0) ?? 0) & 0o177 != 0 }
        if !open.isEmpty {
            commands.append("chmod 600 " + open.map(ShellText.quoted).joined(separator: " "))
        }
        guard commands.isEmpty else {
            throw ClinicSyncError(
                .permission,
                "Other accounts could use the keys in \(folder): run \(commands.joined(separator: " && "))"
            )
        }
    }
}
