import ClinicSync
import ClinicSyncTestKit
import Foundation
import Testing

@Suite("What nodes tell one another of themselves", .timeLimit(.minutes(3)), .serialized)
struct AgentTableTests {
    @Test("it reaches every node, and neither events nor status nor sync show it to programs")
    func invisible() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            let (writer, other) = (clinic.nodes[1], clinic.host)
            var events = try await other.events().makeAsyncIterator()
            try writer.database.sql("INSERT INTO clinicsync_node(id, name) VALUES ('nobody', 'Nobody')")
            try await clinic.wait(for: "the row of another table") {
                try other.database.value("SELECT name FROM clinicsync_node WHERE id = 'nobody'") == "Nobody"
            }
            try writer.database.sql("INSERT INTO patients(id, fullName) VALUES ('last', 'Ana')")
            var tables: [String] = []
            while let event = await events.next() {
                if let table = event.table { tables.append(table) }
                if event.recordId == "last" { break }
            }
            #expect(tables == ["patients"])
            let status = try await other.status()
            #expect(status.tables.count == 13)
            #expect(status.tables.allSatisfy { !$0.name.hasPrefix("clinicsync_") })
            await #expect(throws: ClinicSyncError.self) { try await other.sync(table: "clinicsync_node") }
        }
    }
}
