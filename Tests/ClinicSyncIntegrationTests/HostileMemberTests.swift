import ClinicSync
import ClinicSyncModel
import ClinicSyncTestKit
import Foundation
import Testing

@Suite("A member that sends what it likes harms nobody else", .timeLimit(.minutes(2)), .serialized)
struct HostileMemberTests {
    /// Small and large batches of all nodes that run arrive at all of them.
    private func expectWorking(_ clinic: TestClinic, _ round: String) async throws {
        for (number, node) in clinic.nodes.filter(\.isRunning).enumerated() {
            try node.database.sql(TestRows.patient, "small-\(round)-\(number)", "Ana")
            try node.database.transaction(
                "INSERT INTO patients(id, address) VALUES (?, ?)",
                rows: (0..<400).map { ["large-\(round)-\(number)-\($0)", String(repeating: "y", count: 900)] }
            )
        }
        try await clinic.converge()
    }

    /// Sends chunks, and waits until the host has ended the connection.
    private func expectRefused(_ clinic: TestClinic, as x: TestNode, _ chunks: (HostilePeer) -> [BatchChunk])
        async throws
    {
        let peer = try await HostilePeer.connect(to: clinic.host.address, as: x.directory)
        for chunk in chunks(peer) { peer.send(.chunk(chunk)) }
        try await peer.wait(for: "its end") { $0.isClosed }
        #expect(peer.seen.goodbye == .protocolViolation)
        await peer.close()
    }

    /// A page (`docs/PROTOCOL.md`, "Row states") that says: `author` deleted the patient p1, and had seen all that `everybody`
    /// will ever write.
    private static func deletion(by author: Origin, of everybody: [Origin]) -> [UInt8] {
        func fixed(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.littleEndian, Array.init) }
        func text(_ string: String) -> [UInt8] {
            HostilePeer.number(UInt64(string.utf8.count)) + Array(string.utf8)
        }
        let authors = [author] + everybody
        let stamp = fixed(HybridTimestamp(milliseconds: HostilePeer.wallMilliseconds).rawValue)
        var page: [UInt8] = [2] + HostilePeer.number(UInt64(authors.count))
        for origin in authors {
            page += fixed(origin.node.high) + fixed(origin.node.low) + HostilePeer.number(UInt64(origin.incarnation))
        }
        page += [2] + text("id") + text("fullName") + [3] + text("p1") + stamp + [0, 1]
        // No column and no counter; the deletion with its version, and what its author had seen.
        page += [0, 0, 1] + stamp + [0, 9] + HostilePeer.number(UInt64(authors.count))
        for index in authors.indices { page += HostilePeer.number(UInt64(index)) + HostilePeer.number(1 << 50) }
        return page
    }

    @Test("garbage, impossible chunks, forged names and deletions, and thousands of invented authors")
    func chunks() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (host, other, x) = (clinic.nodes[0], clinic.nodes[1], clinic.nodes[2])
            try host.database.sql(TestRows.patient, "p1", "Ana")
            try await clinic.converge()
            try await x.stop()
            let author = try await other.status().node.id
            let victim = Origin(node: try #require(NodeID(author)))
            let next = try HostilePeer.vector(of: host.database)[victim] + 1
            // A chunk in the last possible place; 300 KB of garbage; three bytes that wait for the other's next batch.
            try await self.expectRefused(clinic, as: x) {
                [$0.chunk($0.next, index: .max, isLast: false, payload: [1, 0])]
            }
            try await self.expectRefused(clinic, as: x) {
                [$0.chunk(payload: [1, 0] + Array(repeating: 0xff, count: 300_000))]
            }
            try await self.expectRefused(clinic, as: x) {
                let dependencies = VersionVector([.init(origin: victim, sequence: next)])
                return [$0.chunk(dependencies: dependencies, payload: [1, 0xff, 0xff])]
            }
            // The other's next batch, as a part that is never completed; batches of 4 200 authors that nobody knows.
            // Before them a deletion that nobody asked for, and whose author had seen what is not written yet.
            let peer = try await HostilePeer.connect(to: host.address, as: x.directory)
            let everybody = peer.vector.entries.map(\.origin).filter { $0 != peer.origin }
            let page = HostileMemberTests.deletion(by: peer.origin, of: everybody)
            peer.send(.rowStates(RowStatePage(round: 77, table: "patients", payload: page, wanted: [], isLast: true)))
            let forged = HostilePeer.insertion(into: "patients", key: "forged", ["fullName": "Eve"])
            peer.send(.chunk(peer.chunk(BatchID(origin: victim, sequence: next), isLast: false, payload: forged)))
            for number in 0..<4_200 {
                let invented = Origin(node: NodeID(high: 0xE1, low: UInt64(number)))
                peer.send(.chunk(peer.chunk(BatchID(origin: invented, sequence: 1), payload: [1, 0])))
            }
            // Only those that have no room give credit back: 1 024 wait.
            try await peer.wait(for: "the host to have taken them") {
                $0.creditBytes >= forged.count + 2 * (4_200 - 1_024)
            }
            #expect(try host.database.integer("SELECT count(*) FROM clinicsync_origin") ?? 0 < 10)
            try await self.expectWorking(clinic, "1")
            #expect(try other.database.integer("SELECT count(*) FROM patients WHERE id = 'forged'") == 0)
            let name = "SELECT fullName FROM patients WHERE id = 'p1'"
            #expect(try clinic.nodes.filter(\.isRunning).allSatisfy { try $0.database.value(name) == "Ana" })
            try other.database.sql("INSERT OR REPLACE INTO patients(id, fullName) VALUES ('p1', 'typed in again')")
            await peer.close()
            // All of it outlives no restart, and hinders no PC that joins.
            try await other.restart()
            try await host.restart()
            try await clinic.addNode()
            try await self.expectWorking(clinic, "2")
            #expect(try clinic.nodes.filter(\.isRunning).allSatisfy { try $0.database.value(name) == "typed in again" })
            try await host.revoke("node2")
            try await self.expectWorking(clinic, "3")
        }
    }
}
