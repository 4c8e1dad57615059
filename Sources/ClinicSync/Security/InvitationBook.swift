import ClinicSyncModel
import Foundation

/// The join codes that a node made, as stored in `identity/invitations.json`.
///
/// The book is a value. The caller writes a change to the file before it reports the change.
package struct InvitationBook: Sendable, Hashable {
    /// One code.
    struct Invitation: Sendable, Hashable, Codable {
        /// The id of the code, derived from the secret.
        var id: Data
        /// The key that checks proofs.
        ///
        /// It is derived from the secret, which the node does not store.
        var proofKey: Data
        /// When the node made the code.
        var madeAt: Int64
        /// When the code expires.
        var expiresAt: Int64
        /// How many PCs may still join with the code.
        var usesLeft: Int
        /// The number of wrong proofs that named the code.
        var wrongProofs = 0
        /// When the last use of the code was consumed.
        var usedUpAt: Int64?
        /// The last PCs that joined with the code; `nil` in a file of an older version.
        var takers: [Taker]?

        /// Whether the parts have the sizes that a node writes, and the times do not overflow in calculations.
        fileprivate var isSensible: Bool {
            let times = [self.madeAt, self.expiresAt, self.usedUpAt ?? 0]
            return self.id.count == JoinRequest.invitationIDBytes && self.proofKey.count == JoinRequest.proofBytes
                && times.allSatisfy { (0...1 << 47).contains($0) } && self.usesLeft >= 0 && self.wrongProofs >= 0
                && (self.takers?.count ?? 0) <= InvitationBook.takersMax
        }
    }

    /// A PC that joined with a code.
    struct Taker: Sendable, Hashable, Codable {
        /// The id of the PC's key.
        var node: NodeID
        /// The name that it asked for.
        var name: String
    }

    /// The outcome of a proof.
    enum Outcome: Sendable, Hashable {
        /// The code is valid, and this proof consumed one use.
        case taken
        /// The code is not valid.
        case refused(EnrollmentRefusal)
    }

    /// The largest number of open codes.
    ///
    /// A person makes one code for each PC.
    static let invitationsMax = 256
    /// How long the book remembers a used or expired code, so that a late PC learns the reason.
    static let remembered: Int64 = 86_400_000
    /// The number of PCs that the book remembers of each code, so that the file stays small.
    static let takersMax = 8
    /// The number of wrong proofs that invalidate a code.
    static let wrongProofsMax = 10

    private(set) var invitations: [Invitation] = []

    /// Adds a code.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused` when the book has too many codes.
    mutating func add(_ invitation: Invitation, at now: Int64) throws {
        self.forgetOld(at: now)
        guard self.invitations.count < InvitationBook.invitationsMax else {
            throw ClinicSyncError(.refused, "There are too many open join codes: wait until some of them have expired.")
        }
        self.invitations.append(invitation)
    }

    /// The key that checks a proof; `nil` when the code does not exist, or too many wrong proofs named it.
    func proofKey(of id: [UInt8], at now: Int64) -> Data? {
        self.invitations.first { $0.id == Data(id) && !InvitationBook.isForgotten($0, at: now) }
            .flatMap { $0.wrongProofs < InvitationBook.wrongProofsMax ? $0.proofKey : nil }
    }

    /// Counts a wrong proof that named `id`.
    ///
    /// - Returns: Whether the code exists. If so, the book changed.
    mutating func countWrongProof(of id: [UInt8]) -> Bool {
        guard let index = self.invitations.firstIndex(where: { $0.id == Data(id) }),
            self.invitations[index].wrongProofs < InvitationBook.wrongProofsMax
        else { return false }
        self.invitations[index].wrongProofs += 1
        return true
    }

    /// The PCs that have joined lately under a name, in whatever case.
    func takers(of name: String) -> [NodeID] {
        self.invitations.flatMap { $0.takers ?? [] }.filter { $0.name.lowercased() == name.lowercased() }.map(\.node)
    }

    /// Consumes one use of the code `id` after a correct proof of the PC `taker`.
    ///
    /// A PC that has joined with the code and asks again consumes nothing: the answer did not reach it, or it was interrupted before
    /// it had written its files.
    mutating func take(_ id: [UInt8], by taker: Taker, at now: Int64) -> Outcome {
        guard let index = self.invitations.firstIndex(where: { $0.id == Data(id) }) else {
            return .refused(.unknownCode)
        }
        let invitation = self.invitations[index]
        var takers = invitation.takers ?? []
        if takers.contains(where: { $0.node == taker.node }) { return .taken }
        guard invitation.usesLeft > 0 else { return .refused(.usedCode) }
        // A code does not live longer when the clock is set back.
        guard now < invitation.expiresAt, now >= invitation.madeAt - InvitationBook.remembered else {
            return .refused(.expiredCode)
        }
        self.invitations[index].usesLeft -= 1
        takers.append(taker)
        self.invitations[index].takers = takers.suffix(InvitationBook.takersMax)
        if self.invitations[index].usesLeft == 0 { self.invitations[index].usedUpAt = now }
        self.forgetOld(at: now)
        return .taken
    }

    private mutating func forgetOld(at now: Int64) {
        self.invitations.removeAll { InvitationBook.isForgotten($0, at: now) }
    }

    private static func isForgotten(_ invitation: Invitation, at now: Int64) -> Bool {
        now >= min(invitation.expiresAt, invitation.usedUpAt ?? .max) + InvitationBook.remembered
    }

    // MARK: - File

    /// Reads the file; an empty book when there is none.
    static func read(from directory: NodeDirectory) throws -> InvitationBook {
        guard let bytes = try AtomicFile.read(directory.invitationsURL) else { return InvitationBook() }
        do {
            return try InvitationBook(decoding: bytes)
        } catch {
            throw ClinicSyncError(
                .corrupt,
                "\(directory.invitationsURL.path) is damaged: delete it and make new join codes.",
                cause: error
            )
        }
    }

    /// Makes an empty book.
    init() {}

    /// Reads the content of the file.
    ///
    /// - Throws: `DecodingError`, also for codes that no node makes. So the returned numbers are safe in calculations.
    package init(decoding bytes: [UInt8]) throws {
        let invitations = try JSONDecoder().decode([Invitation].self, from: Data(bytes))
        guard invitations.count <= InvitationBook.invitationsMax, invitations.allSatisfy(\.isSensible) else {
            throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "no join codes of this program"))
        }
        self.invitations = invitations
    }

    /// Replaces the file.
    func write(to directory: NodeDirectory) throws {
        try AtomicFile.write(self.encoded(), to: directory.invitationsURL, mode: 0o600)
    }

    /// The content of the file.
    package func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try Array(encoder.encode(self.invitations)) + [UInt8(ascii: "\n")]
    }
}
