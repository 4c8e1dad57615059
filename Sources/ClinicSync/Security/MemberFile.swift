import Foundation

/// The file `members.json`: what ``MemberRegister`` knows.
enum MemberFile {
    /// A member in the file; the register verifies everything again.
    struct Record {
        var certificate: [UInt8]
        var signer: [UInt8]?
        var statement: [UInt8]?
        var renaming: [UInt8]?
        var grant: [UInt8]?
    }

    /// The largest size of the file in bytes: more than ``MemberRegister/membersMax`` full records.
    private static let bytesMax = 64 << 20

    private struct Entry: Codable {
        var certificate: Data
        var signer: Data?
        var statement: Data?
        var renaming: Data?
        var grant: Data?
    }

    /// Reads the file; a file that is missing or damaged counts as empty.
    static func read(from directory: NodeDirectory) -> [Record] {
        do {
            guard let bytes = try AtomicFile.read(directory.membersURL, limit: MemberFile.bytesMax) else { return [] }
            return try JSONDecoder().decode([Entry].self, from: Data(bytes)).map { entry in
                Record(
                    certificate: Array(entry.certificate),
                    signer: entry.signer.map { Array($0) },
                    statement: entry.statement.map { Array($0) },
                    renaming: entry.renaming.map { Array($0) },
                    grant: entry.grant.map { Array($0) }
                )
            }
        } catch {
            return []
        }
    }

    /// Replaces the file.
    ///
    /// - Throws: ``ClinicSyncError`` of code `diskFull`, `permission` or `storage`.
    static func write(_ members: [MemberRegister.Member], to directory: NodeDirectory) throws {
        let entries = members.map { member in
            Entry(
                certificate: Data(member.proof.certificate),
                signer: member.proof.grant.map { Data($0.bytes) },
                statement: member.statement.map { Data($0.bytes) },
                renaming: member.renaming.map { Data($0.bytes) },
                grant: member.grant.map { Data($0.bytes) }
            )
        }
        let text = try JSONEncoder().encode(entries)
        try AtomicFile.write(Array(text) + [UInt8(ascii: "\n")], to: directory.membersURL, mode: 0o600)
    }
}
