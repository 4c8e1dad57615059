import ClinicSyncModel
import ClinicSyncTestKit
import Foundation
import Testing

@Suite("A member that sends what it likes harms nobody else", .timeLimit(.minutes(2)), .serialized)
struct HostileMemberTests {
    /// Small and large batches of both others arrive at both.
    static func expectWorking(_ clinic: TestClinic, round: String) async throws {
        for (number, node) in clinic.nodes.filter(\.isRunning).enumerated() {
            try node.database.sql(TestRows.patient, "small-\(round)-\(number)", "Ana")
            try node.database.transaction(
                "INSERT INTO patients(id, address) VALUES (?, ?)",
                rows: (0..<400).map { ["large-\(round)-\(number)-\($0)", String(repeating: "y", count: 900)] }
            )
        }
        try await clinic.converge()
    }

    @Test("an honest chunk of a member that is not the program arrives everywhere")
    func honestChunk() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (host, other, x) = (clinic.nodes[0], clinic.nodes[1], clinic.nodes[2])
            try await clinic.converge()
            try await x.stop()
            let peer = try await HostilePeer.connect(to: host.address, as: x.directory)
            peer.send(
                .chunk(peer.chunk(payload: HostilePeer.insertion(into: "patients", key: "p", ["fullName": "Ana"])))
            )
            try await clinic.wait(for: "the row") {
                try other.database.value("SELECT fullName FROM patients WHERE id = 'p'") == "Ana"
            }
            await peer.close()
            try await Self.expectWorking(clinic, round: "1")
        }
    }
}
