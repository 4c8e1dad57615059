import ClinicSync
import ClinicSyncModel
import ClinicSyncTestKit
import Testing

@Suite("Numbers that no honest node makes, in one member's file", .timeLimit(.minutes(3)), .serialized)
struct NumberTests {
    private static let largest = Int64(HybridTimestamp.largest.rawValue)

    private func name(_ node: TestNode, _ id: String = "p1") throws -> String? {
        try node.database.value("SELECT fullName FROM patients WHERE id = ?", id)
    }

    @Test("a member with an impossible term and the largest stamp takes part, and keeps nobody from anything")
    func termAndStamp() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (a, b, x) = (clinic.nodes[0], clinic.nodes[1], clinic.nodes[2])
            try a.database.sql("INSERT INTO patients(id, fullName) VALUES ('p1', 'Ana')")
            try await clinic.converge()
            try await x.stop()
            try x.database.sql("UPDATE clinicsync_setting SET value = 9223372036854775806 WHERE name = 'term'")
            try x.database.sql("UPDATE clinicsync_row SET timestamp = ? WHERE pk = 'p1'", NumberTests.largest)
            try await x.start()
            for (index, node) in [x, b, x, a].enumerated() {
                try node.database.sql("UPDATE patients SET fullName = ? WHERE id = 'p1'", "edit \(index)")
                try await clinic.converge()
                for other in clinic.nodes { #expect(try self.name(other) == "edit \(index)") }
            }
            // Somebody else becomes host, and the one before comes back.
            let term = try await a.status().term
            try await a.stop()
            try await clinic.wait(for: "another host") {
                let states = [try await b.status(), try await x.status()]
                return states.contains { $0.role == .host } && states.allSatisfy { $0.term > term }
            }
            try await a.start()
            try b.database.sql("UPDATE patients SET fullName = 'last' WHERE id = 'p1'")
            try await clinic.converge()
            for node in clinic.nodes {
                #expect(try self.name(node) == "last")
                #expect(try await node.status().term < term + 100)
            }
            #expect(try await x.sync().isConverged)
        }
    }

    @Test("entries of the journal with impossible numbers end no node that is asked for them")
    func journal() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let (a, x) = (clinic.nodes[0], clinic.nodes[1])
            let author = try await a.status().node.id
            try x.database.sql("INSERT INTO patients(id, fullName) VALUES ('p1', 'Ana')")
            let values = [
                "-9223372036854775808", "9223372036854775807", "NULL", "1e300", "'soon'", "x'00ff'",
                "printf('%.*c', 100000, 'x')",
            ]
            for (index, value) in values.enumerated() {
                let id = String(repeating: "0123456789abcdef", count: 2).dropLast() + String(index)
                try x.database.sql(
                    """
                    INSERT INTO clinicsync_conflict
                        (id, kind, tableName, recordId, columnName, value, origin, sequence, timestamp, relatedTable,
                        relatedId)
                    VALUES (?, 'value', 'patients', 'p1', 'fullName', ?, ?, \(value), \(value), \(value), \(value))
                    """,
                    String(id),
                    "lost \(index)",
                    author
                )
                try x.database.sql(
                    "INSERT INTO clinicsync_resolution (id, kept, resolvedAt, node) VALUES (?, 'current', \(value), ?)",
                    String(id),
                    author
                )
            }
            try await clinic.converge()
            for node in clinic.nodes {
                let entries = try await node.conflicts(includingResolved: true).conflicts
                #expect(entries.reduce(0) { $0 + $1.count } == values.count)
                // What is shown can be written as JSON and as text.
                #expect(entries.allSatisfy { $0.resolvedAt.map { !$0.description.isEmpty } ?? true })
                #expect(
                    try await node.why("patients/p1").columns.flatMap(\.beat).reduce(0) { $0 + $1.count }
                        == values.count
                )
                // The decision with the long text is larger than its table's limit, and stays on its PC.
                #expect(try await node.status().conflicts.open == (node === x ? 0 : 1))
            }
        }
    }
}
