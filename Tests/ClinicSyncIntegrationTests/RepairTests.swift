import ClinicSync
import ClinicSyncTestKit
import Foundation
import Testing

@Suite("Reconciliation, refusals and idleness between real nodes", .timeLimit(.minutes(3)), .serialized)
struct RepairTests {
    /// Writes past capture, which no program should do.
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

    @Test("a manual sync finds what was written past capture on any node and proves equality", arguments: [0, 1])
    func manualSync(victim: Int) async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (node, other) = (clinic.nodes[victim], clinic.nodes[2])
            let rows = (0..<50).map { ["p\($0)", "Patient \($0)"] }
            try clinic.host.database.transaction(TestRows.patient, rows: rows)
            try await clinic.converge()
            var iterator = try await node.events(categories: ["system"]).makeAsyncIterator()
            try self.damage(
                node.database,
                "UPDATE patients SET fullName = 'changed' WHERE id = 'p7'; DELETE FROM patients WHERE id = 'p8';"
                    + "INSERT INTO patients(id) VALUES ('new')"
            )
            let report = try await other.sync()
            #expect(report.isConverged, "\(report)")
            #expect(report.nodes.count == 3)
            try await clinic.converge()
            for node in clinic.nodes {
                let database = node.database
                #expect(try database.value("SELECT fullName FROM patients WHERE id = 'p7'") == "changed")
                #expect(try database.integer("SELECT count(*) FROM patients WHERE id = 'p8'") == 0)
                #expect(try database.integer("SELECT count(*) FROM patients WHERE id = 'new'") == 1)
            }
            var event = await iterator.next()
            while let other = event, other.type != "escaped_write" { event = await iterator.next() }
            #expect(event?.details?["rows"] == "3")
            #expect(try await other.sync().result == "equal")
        }
    }

    @Test("the periodic comparison runs and finds equal nodes equal")
    func periodicEqual() async throws {
        try await TestClinic.start(nodes: 3, reconcileEvery: .seconds(1)) { clinic in
            try clinic.host.database.sql("INSERT INTO patients(id) VALUES ('p')")
            try await clinic.converge()
            for node in clinic.nodes {
                let first = try await node.status().lastReconciliation?.at
                try await clinic.wait(for: "a reconciliation") {
                    let last = try await node.status().lastReconciliation
                    return last?.result == "equal" && last?.at != first
                }
            }
        }
    }

    @Test("a row that is too large holds up nothing, status names its table, and sync says that the nodes differ")
    func largeRow() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let (host, client) = (clinic.host, clinic.nodes[1])
            try client.database.sql(
                """
                INSERT INTO patients(id, medicalHistory) VALUES ('large', zeroblob(9437184));
                INSERT INTO users(id, username) VALUES ('after', 'after')
                """
            )
            try await clinic.wait(for: "what was written after it") {
                try host.database.integer("SELECT count(*) FROM users WHERE id = 'after'") == 1
            }
            #expect(try host.database.integer("SELECT count(*) FROM patients") == 0)
            #expect(try await client.status().waiting.map(\.table) == ["patients"])
            let report = try await host.sync()
            #expect(!report.isConverged)
            #expect(report.result == "differs")
            try client.database.sql("UPDATE patients SET medicalHistory = 'short'")
            try await clinic.converge()
            #expect(try await host.sync().isConverged)
        }
    }

    @Test("members say which migrations their programs have, and that they are there")
    func memberVersions() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            for node in clinic.nodes {
                try await clinic.wait(for: "both members' rows") {
                    try node.database.integer(
                        "SELECT count(*) FROM clinicsync_node WHERE schemaVersion >= 13 AND aliveAt > 0"
                    ) == 2
                }
            }
        }
    }

    @Test("sync says honestly that the host is not reachable")
    func unreachable() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            await clinic.host.kill()
            let client = clinic.nodes[1]
            try await clinic.wait(for: "the loss to be noticed") { try await !client.isConnected }
            let report = try await client.sync()
            #expect(report.result == "unreachable")
            #expect(!report.isConverged)
        }
    }

    @Test("a node at rest writes nothing to its files, and its comparisons do not either")
    func idle() async throws {
        try await TestClinic.start(nodes: 2, reconcileEvery: .seconds(1)) { clinic in
            try clinic.host.database.sql("INSERT INTO patients(id) VALUES ('p')")
            try await clinic.converge()
            // By then the nodes have stored what they must remember of the beginning.
            try await self.comparisons(2, of: clinic)
            func versions() throws -> [Int?] {
                try clinic.nodes.map { try $0.database.integer("PRAGMA data_version") }
            }
            let before = try versions()
            try await self.comparisons(3, of: clinic)
            #expect(try versions() == before)
        }
    }

    private func comparisons(_ count: Int, of clinic: TestClinic) async throws {
        for _ in 0..<count {
            let last = try await clinic.nodes[1].status().lastReconciliation?.at
            try await clinic.wait(for: "a reconciliation") {
                try await clinic.nodes[1].status().lastReconciliation?.at != last
            }
        }
    }
}
