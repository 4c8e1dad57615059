import ClinicSync
import ClinicSyncTestKit
import Testing

@Suite("The state in place of history, on real nodes", .timeLimit(.minutes(1)))
struct StateJoinTests {
    @Test("a new PC and one that was away get the state when the log is gone, while a program writes")
    func joinsAndComesBack() async throws {
        try await TestClinic.start(nodes: 2, reconcileEvery: .seconds(1)) { clinic in
            let (host, client) = (clinic.host, clinic.nodes[1])
            try host.database.sql(
                """
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                INSERT INTO patients(id, fullName) SELECT 'p' || i, 'Ana ' || i FROM n
                """
            )
            try await clinic.converge()
            try await client.stop()
            try client.database.sql("UPDATE patients SET address = 'away' WHERE id = 'p7'")
            try host.database.sql("DELETE FROM patients WHERE id = 'p8'")
            try host.database.sql("UPDATE patients SET fullName = 'Bea' WHERE id = 'p7'")
            try await host.stop()
            // As after the retention.
            try host.database.sql("UPDATE clinicsync_origin SET floor = sequence WHERE id > 0")
            try host.database.sql("DELETE FROM clinicsync_log")
            try await host.start()

            let late = try await clinic.addNode()
            try host.database.sql("UPDATE patients SET fullName = 'Cleo' WHERE id = 'p9'")
            try await client.start()
            try await clinic.converge()
            for node in clinic.nodes {
                let row = "SELECT fullName || address FROM patients WHERE id = 'p7'"
                #expect(try node.database.value(row) == "Beaaway")
                #expect(try node.database.integer("SELECT count(*) FROM patients") == 2_999)
            }
            #expect(try await late.status().progress == nil)
            #expect(try await late.why("patients/p1").historySince != nil)
            #expect(try await host.why("patients/p1").historySince == nil)
        }
    }
}
