import ClinicSyncModel
import Foundation

/// The PCs that this node admitted to the clinic, as stored in `identity/admissions.json`.
///
/// A PC that has joined and never ran is in no replicated table, because each member writes its own row when it runs. Until
/// then only the node that admitted the PC can list it. The book proves nothing: it is for people.
package struct AdmissionBook: Sendable, Hashable {
    /// A PC that joined here.
    package struct Admission: Sendable, Hashable, Codable {
        /// Its id.
        package var node: String
        /// The name that it gave itself.
        package var name: String
        /// When it joined, milliseconds since 1970.
        package var joinedAt: Int64
    }

    /// The largest number of PCs that are remembered; beyond that, the oldest are forgotten.
    static let admissionsMax = 256
    /// How long a PC is remembered: whoever was silent so long has lapsed.
    static let remembered: Int64 = 30 * 86_400_000

    /// The PCs in the order in which they joined.
    package private(set) var admissions: [Admission] = []

    /// Makes an empty book.
    init() {}

    /// Adds a PC, and forgets those that joined too long ago.
    mutating func add(_ node: NodeID, name: String, at now: Int64) {
        self.admissions.removeAll { $0.node == node.description || now - $0.joinedAt >= AdmissionBook.remembered }
        self.admissions.append(Admission(node: node.description, name: name, joinedAt: now))
        self.admissions.removeFirst(max(0, self.admissions.count - AdmissionBook.admissionsMax))
    }

    /// Reads the file; an empty book when there is none, or when it cannot be read, because nothing depends on it.
    static func read(from directory: NodeDirectory) -> AdmissionBook {
        var book = AdmissionBook()
        do {
            guard let bytes = try AtomicFile.read(directory.admissionsURL) else { return book }
            let read = try JSONDecoder().decode([Admission].self, from: Data(bytes))
            let valid = read.filter { NodeID($0.node) != nil && (0...Bounds.millisecondsMax).contains($0.joinedAt) }
            book.admissions = Array(valid.prefix(AdmissionBook.admissionsMax))
        } catch {
            // The list of members then lacks a PC until it runs for the first time.
        }
        return book
    }

    /// Replaces the file.
    ///
    /// - Throws: The errors of writing files.
    func write(to directory: NodeDirectory) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes = try Array(encoder.encode(self.admissions)) + [UInt8(ascii: "\n")]
        try AtomicFile.write(bytes, to: directory.admissionsURL, mode: 0o600)
    }
}
