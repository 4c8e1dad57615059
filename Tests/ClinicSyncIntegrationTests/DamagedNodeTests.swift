import ClinicSync
import ClinicSyncTestKit
import Foundation
import Testing

@Suite("A node whose own bookkeeping is damaged", .timeLimit(.minutes(2)), .serialized)
struct DamagedNodeTests {
    private func damaged(_ node: TestNode) async throws -> [String: String] {
        Dictionary(
            try await node.status().damage.map { ($0.table, $0.outcome) },
            uniquingKeysWith: { first, _ in first }
        )
    }

    /// Flips one byte of the first batch in a node's log that has a row of `table`.
    private func flipByteOfLog(_ node: TestNode, table: String) throws {
        try node.database.sql(
            """
            UPDATE clinicsync_log SET payload =
            substr(payload, 1, length(payload) - 3) || x'ee' || substr(payload, length(payload) - 1)
            WHERE position = (SELECT min(position) FROM clinicsync_log WHERE instr(payload, CAST('\(table)' AS BLOB)) > 0)
            """
        )
    }

    @Test(
        "a damaged row on the host, capture that a program left off, a tombstone that is gone: nobody is cut off, all converge"
    )
    func damagedWhileRunning() async throws {
        try await TestClinic.start(nodes: 3, reconcileEvery: .seconds(1)) { clinic in
            let (host, client, other) = (clinic.host, clinic.nodes[1], clinic.nodes[2])
            try host.database.sql("INSERT INTO patients(id, fullName) VALUES ('p1', 'Ana'), ('p2', 'Bea')")
            try await clinic.converge()
            var events = try await host.events(categories: ["system"]).makeAsyncIterator()

            try host.database.sql("UPDATE clinicsync_row SET registers = x'ff' WHERE pk = 'p1'")
            try client.database.sql("UPDATE patients SET address = 'one' WHERE id = 'p1'")
            try other.database.sql("UPDATE patients SET email = 'two' WHERE id = 'p1'")
            try await clinic.converge()
            #expect(
                try host.database.value("SELECT fullName || address || email FROM patients WHERE id = 'p1'")
                    == "Anaonetwo"
            )
            #expect(try await self.damaged(host) == ["clinicsync_row": "refetching"])
            var event = await events.next()
            // What the damaged row showed may get an entry of the journal first.
            while event?.type == "conflict_recorded" { event = await events.next() }
            #expect(event?.type == "own_damage", "no peer was lost")
            #expect(event?.details?["table"] == "clinicsync_row")

            try client.database.sql("UPDATE clinicsync_guard SET applying = 1")
            try client.database.sql("INSERT INTO patients(id) VALUES ('unseen')")
            try await clinic.converge()
            #expect(try client.database.integer("SELECT applying FROM clinicsync_guard") == 0)
            #expect(try host.database.integer("SELECT count(*) FROM patients WHERE id = 'unseen'") == 1)
            #expect(try await self.damaged(client)["clinicsync_guard"] == "rebuilt")

            // Nobody reads what the host knows of a deleted row, so only a comparison of states finds that it is gone.
            try client.database.sql("DELETE FROM patients WHERE id = 'p2'")
            try await clinic.converge()
            try host.database.sql("DELETE FROM clinicsync_tombstone")
            #expect(try await host.sync().isConverged)
            #expect(try host.database.integer("SELECT count(*) FROM clinicsync_tombstone WHERE pk = 'p2'") == 1)
        }
    }

    @Test("a node whose numbers were damaged while it was stopped finds that out, and accuses nobody")
    func damagedNumbers() async throws {
        try await TestClinic.start(nodes: 3, reconcileEvery: .seconds(1)) { clinic in
            let (host, client, other) = (clinic.host, clinic.nodes[1], clinic.nodes[2])
            for node in clinic.nodes {
                try node.database.sql("INSERT INTO patients(id) VALUES ('of' || hex(randomblob(4)))")
            }
            try await clinic.converge()
            try await client.stop()
            // The node claims batches of every author that were never made; of its own, too.
            try client.database.sql("UPDATE clinicsync_origin SET sequence = sequence + 1000 WHERE sequence > 0")
            try await client.start()
            try other.database.sql("INSERT INTO patients(id) VALUES ('missed')")
            try client.database.sql("INSERT INTO patients(id) VALUES ('gap')")
            try await clinic.converge()
            #expect(try await self.damaged(client)["clinicsync_origin"] == "rebuilt")
            try await client.stop()
            try client.database.sql("UPDATE clinicsync_origin SET sequence = sequence - 1 WHERE sequence > 1")
            try await client.start()
            try client.database.sql("INSERT INTO patients(id) VALUES ('back')")
            try await clinic.converge()
            #expect(
                try host.database.integer("SELECT count(*) FROM patients WHERE id IN ('missed', 'gap', 'back')") == 3
            )
            #expect(try await host.sync().isConverged)
            try await client.stop()
            // Another author has no name any more, as in a file of a version without the copy of the names; the author's batches
            // come again.
            try client.database.sql("DELETE FROM clinicsync_origin WHERE id = 2")
            try client.database.sql("DELETE FROM clinicsync_setting WHERE name = 'authors'")
            try await client.start()
            try client.database.sql("INSERT INTO patients(id) VALUES ('nameless')")
            try await clinic.converge()
            #expect(try await self.damaged(client)["clinicsync_origin"] == "refetching")
        }
    }

    @Test("a damaged batch in the host's log is fetched from a client before a new PC gets it")
    func damagedLog() async throws {
        try await TestClinic.start(nodes: 2, reconcileEvery: .seconds(1)) { clinic in
            try clinic.host.database.sql("INSERT INTO patients(id, fullName) VALUES ('p1', 'Ana')")
            try await clinic.converge()
            let query = "SELECT group_concat(hex(payload)) FROM clinicsync_log"
            let before = try clinic.host.database.value(query)
            try self.flipByteOfLog(clinic.host, table: "patients")
            #expect(try clinic.host.database.value(query) != before)
            _ = try await clinic.addNode()
            try await clinic.converge()
            #expect(try await self.damaged(clinic.host) == ["clinicsync_log": "refetching"])
            let size = try #require(before).count
            #expect(try clinic.host.database.value(query)?.prefix(size) == before?.prefix(size))
        }
    }

    @Test("a damaged batch in the log of the only PC does not keep a new PC out")
    func damagedLogOfTheOnlyPC() async throws {
        try await TestClinic.start(nodes: 1, reconcileEvery: .seconds(1)) { clinic in
            for number in 1...3 {
                try clinic.host.database.sql("INSERT INTO patients(id, fullName) VALUES ('p\(number)', 'Ana')")
                try await clinic.wait(for: "the collection") {
                    try clinic.host.database.integer("SELECT count(*) FROM clinicsync_row WHERE pk = 'p\(number)'") == 1
                }
            }
            try self.flipByteOfLog(clinic.host, table: "patients")
            _ = try await clinic.addNode()
            try await clinic.converge()
            // The host first asks the new PC for the batch.
            try await clinic.wait(for: "the host to say what is left out") {
                try await clinic.host.status().damage.contains {
                    $0.table == "clinicsync_log" && $0.outcome == "leftOut"
                }
            }
            #expect(try await clinic.host.sync().isConverged)
        }
    }
}
