import Foundation
import Testing

@testable import ClinicSync

@Suite("The file of invitations")
struct InvitationFileTests {
    private static let id = Data(0..<8).base64EncodedString()
    private static let key = Data(0..<32).base64EncodedString()

    private func text(
        id: String = Self.id,
        key: String = Self.key,
        madeAt: Int64 = 1,
        expiresAt: Int64 = 2,
        usesLeft: Int = 1,
        wrongProofs: Int = 0
    ) -> String {
        """
        [{"id":"\(id)","proofKey":"\(key)","madeAt":\(madeAt),"expiresAt":\(expiresAt),
        "usesLeft":\(usesLeft),"wrongProofs":\(wrongProofs)}]
        """
    }

    @Test("what a node wrote is read")
    func good() throws {
        let book = try InvitationBook(decoding: Array(self.text().utf8))
        #expect(book.invitations.count == 1)
        #expect(try InvitationBook(decoding: book.encoded()) == book)
    }

    @Test("codes that no node makes are damage, not a reason to stop in the middle of an enrollment")
    func nonsense() throws {
        let directory = try TemporaryDirectory()
        let node = NodeDirectory(url: directory.url)
        try node.create()
        for text in [
            self.text(expiresAt: .max), self.text(madeAt: .min), self.text(usesLeft: .min), self.text(wrongProofs: -1),
            self.text(id: ""), self.text(key: "AAAA"), "[", "{}",
            "[" + repeatElement(self.text().dropFirst().dropLast(), count: 257).joined(separator: ",") + "]",
        ] {
            try AtomicFile.write(Array(text.utf8), to: node.invitationsURL, mode: 0o600)
            #expect(throws: ClinicSyncError(.corrupt, "")) { try InvitationBook.read(from: node) }
        }
    }
}
