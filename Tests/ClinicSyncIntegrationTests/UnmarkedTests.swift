import ClinicSync
import ClinicSyncModel
import ClinicSyncTestKit
import Foundation
import Testing

/// `docs/design/0014-unmarked-changes.md`, between real nodes.
@Suite("Damage of a table, and what was written past capture", .timeLimit(.minutes(2)), .serialized)
struct UnmarkedTests {
    /// Writes past capture, as a disk does and no program should.
    private func damage(_ database: TestDatabase, _ sql: String) throws {
        try database.sql(
            """
            BEGIN IMMEDIATE;
            UPDATE clinicsync_guard SET applying = 1;
            \(sql);
            UPDATE clinicsync_guard SET applying = 0;
            COMMIT;
            """
        )
    }

    private func values(_ node: TestNode) async throws -> [String] {
        try await node.conflicts().conflicts.map { "\($0.recordId) \($0.other.value)" }.sorted()
    }

    @Test("a flipped bit never beats healthy copies, and another value does not win in silence", arguments: [0, 1])
    func flippedBit(victim: Int) async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (node, other) = (clinic.nodes[victim], clinic.nodes[2])
            try clinic.host.database.sql(
                "INSERT INTO patients(id, fullName) VALUES ('p1', 'Ana'), ('p2', 'Bea'), ('p3', 'Cleo')"
            )
            try await clinic.converge()
            var iterator = try await node.events(categories: ["system"]).makeAsyncIterator()
            // 'a' and 'c' differ in one bit.
            try self.damage(
                node.database,
                "UPDATE patients SET fullName = 'Anc' WHERE id = 'p1'; UPDATE patients SET fullName = 'Dora' WHERE id = 'p2'"
            )
            #expect(try await other.sync().isConverged)
            try await clinic.converge()
            for node in clinic.nodes {
                #expect(
                    try node.database.column("SELECT fullName FROM patients ORDER BY id") == ["Ana", "Dora", "Cleo"]
                )
                #expect(try await self.values(node) == ["p1 Anc", "p2 Bea"])
            }
            var types: Set<String> = []
            while !types.isSuperset(of: ["escaped_write", "rows_set_back"]) {
                types.insert(try #require(await iterator.next()).type)
            }
            let entry = try #require(try await other.conflicts().conflicts.first { $0.recordId == "p2" })
            try await other.resolveConflict(entry.id, keepOther: true)
            try await clinic.wait(for: "the old value") {
                try clinic.nodes.allSatisfy {
                    try $0.database.value("SELECT fullName FROM patients WHERE id = 'p2'") == "Bea"
                }
            }
        }
    }

    @Test("a row with a key that no peer takes is named, and differences beside it are repaired")
    func longKey() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let (host, client) = (clinic.host, clinic.nodes[1])
            try host.database.sql("INSERT INTO patients(id, fullName) VALUES ('v', 'good')")
            try await clinic.converge()
            try host.database.sql(
                "INSERT INTO patients(id, fullName) VALUES (?, 'x')",
                String(repeating: "k", count: 5_000)
            )
            // The client loses a row, and all that it knows of it.
            try await client.stop()
            try self.damage(
                client.database,
                """
                DELETE FROM patients WHERE id = 'v'; DELETE FROM clinicsync_row WHERE pk = 'v';
                UPDATE clinicsync_digest SET rows = rows - 1
                WHERE tableId = (SELECT id FROM clinicsync_table WHERE name = 'patients')
                """
            )
            try await client.start()
            // Without the client the comparison would differ for want of it, and repair nothing.
            try await clinic.wait(for: "the client's return") { try await client.isConnected }
            let report = try await host.sync()
            #expect(!report.isConverged, "a row that stays on its PC is a difference")
            #expect(try client.database.value("SELECT fullName FROM patients WHERE id = 'v'") == "good")
            #expect(try await client.isConnected)
            #expect(try await host.status().waiting.map(\.table) == ["patients"])
            try host.database.sql("DELETE FROM patients WHERE id <> 'v'")
            try await clinic.wait(for: "equal tables") { try await host.sync().isConverged }
        }
    }

    // MARK: - Row states that claim too much

    /// A page that says of patient p1: deleted just now, by a node that had seen everything that everybody will ever write.
    private func deletion(by author: Origin, _ vector: VersionVector, round: UInt64) -> RowStatePage {
        func fixed(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.littleEndian) { Array($0) } }
        let authors = vector.entries.map(\.origin)
        let own = UInt64(authors.firstIndex(of: author) ?? 0)
        var payload: [UInt8] = [2] + HostilePeer.number(UInt64(authors.count))
        for origin in authors {
            payload += fixed(origin.node.high) + fixed(origin.node.low) + HostilePeer.number(UInt64(origin.incarnation))
        }
        let stamp = fixed(HybridTimestamp(milliseconds: HostilePeer.wallMilliseconds).rawValue)
        let version = stamp + HostilePeer.number(own) + HostilePeer.number(vector[author])
        // The column of the key; the row's key, insertion, no columns, no counters; the deletion.
        payload += [1, 2] + Array("id".utf8) + [3, 2] + Array("p1".utf8) + version + [0, 0, 1] + version
        payload += HostilePeer.number(UInt64(authors.count))
        for index in authors.indices { payload += HostilePeer.number(UInt64(index)) + HostilePeer.number(1 << 50) }
        return RowStatePage(round: round, table: "patients", payload: payload, wanted: [], isLast: true)
    }

    @Test("a deletion that nobody asked for is dropped, and covers nothing that is entered later")
    func futureDeletion() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (host, other, x) = (clinic.nodes[0], clinic.nodes[1], clinic.nodes[2])
            for node in clinic.nodes { try node.database.sql(TestRows.patient, "of-\(node.name)", "x") }
            try host.database.sql(TestRows.patient, "p1", "Ana")
            try await clinic.converge()
            try await x.stop()
            let peer = try await HostilePeer.connect(to: host.address, as: x.directory)
            let vector = try HostilePeer.vector(of: host.database)
            peer.send(.rowStates(self.deletion(by: peer.origin, vector, round: 77)))
            // A question and its answer: what came before it has been dealt with.
            peer.send(.digests(DigestReport(round: 78, vector: peer.vector, tables: [])))
            try await peer.wait(for: "an answer") { seen in
                seen.messages.contains { if case .digests = $0 { true } else { false } }
            }
            #expect(try host.database.integer("SELECT count(*) FROM patients WHERE id = 'p1'") == 1)
            await peer.close()
            try other.database.sql("INSERT OR REPLACE INTO patients(id, fullName) VALUES ('p1', 'typed in again')")
            try await clinic.wait(for: "what was typed in again") {
                try host.database.value("SELECT fullName FROM patients WHERE id = 'p1'") == "typed in again"
            }
            #expect(try await host.sync().isConverged)
            #expect(try other.database.value("SELECT fullName FROM patients WHERE id = 'p1'") == "typed in again")
        }
    }
}
