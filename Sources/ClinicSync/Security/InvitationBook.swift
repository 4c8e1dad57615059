import ClinicSyncModel
import Foundation

/// The join codes a node made, as `identity/invitations.json` holds them.
///
/// A value. The caller writes a change to the file before it tells anyone of the change.
package struct InvitationBook: Sendable, Hashable {
    /// One code.
    struct Invitation: Sendable, Hashable, Codable {
        /// Which one, derived from the secret.
        var id: Data
        /// The key that checks proofs.
        ///
        /// It is derived from the secret, which the node does not store.
        var proofKey: Data
        /// When it was made.
        var madeAt: Int64
        /// When it ends.
        var expiresAt: Int64
        /// How many PCs may still join with it.
        var usesLeft: Int
        /// Wrong proofs that named it.
        var wrongProofs = 0
        /// When it was used up.
        var usedUpAt: Int64?

        /// Whether its parts have the sizes a node gives them; times can be added to.
        fileprivate var isSensible: Bool {
            let times = [self.madeAt, self.expiresAt, self.usedUpAt ?? 0]
            return self.id.count == JoinRequest.invitationIDBytes && self.proofKey.count == JoinRequest.proofBytes
                && times.allSatisfy { (0...1 << 47).contains($0) } && self.usesLeft >= 0 && self.wrongProofs >= 0
        }
    }

    /// The outcome of a proof.
    enum Outcome: Sendable, Hashable {
        /// The code is good, and one of its uses is gone.
        case taken
        /// It is not.
        case refused(EnrollmentRefusal)
    }

    /// Open codes at most; a person makes one for each PC.
    static let invitationsMax = 256
    /// How long a used or expired code is remembered, so that a late PC learns the reason.
    static let remembered: Int64 = 86_400_000
    /// Wrong proofs that make a code void.
    static let wrongProofsMax = 10

    private(set) var invitations: [Invitation] = []

    /// Adds a code.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused` when there are too many.
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
    /// - Returns: Whether there is such a code, so that the book changed.
    mutating func countWrongProof(of id: [UInt8]) -> Bool {
        guard let index = self.invitations.firstIndex(where: { $0.id == Data(id) }),
            self.invitations[index].wrongProofs < InvitationBook.wrongProofsMax
        else { return false }
        self.invitations[index].wrongProofs += 1
        return true
    }

    /// Uses the code `id`, whose proof was right.
    mutating func take(_ id: [UInt8], at now: Int64) -> Outcome {
        guard let index = self.invitations.firstIndex(where: { $0.id == Data(id) }) else {
            return .refused(.unknownCode)
        }
        let invitation = self.invitations[index]
        guard invitation.usesLeft > 0 else { return .refused(.usedCode) }
        // A clock that was set back does not make a code live longer.
        guard now < invitation.expiresAt, now >= invitation.madeAt - InvitationBook.remembered else {
            return .refused(.expiredCode)
        }
        self.invitations[index].usesLeft -= 1
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
    /// - Throws: `DecodingError`, also for codes that no node makes: what is read can be computed with.
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
