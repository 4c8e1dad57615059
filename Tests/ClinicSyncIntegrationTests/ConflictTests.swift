import ClinicSync
import ClinicSyncTestKit
import Testing

@Suite("Conflicts that people settle", .timeLimit(.minutes(3)), .serialized)
struct ConflictTests {
    /// Makes a conflict about p1's name between two nodes that are apart; `Later` is in the tables.
    private func disagree(_ clinic: TestClinic) async throws {
        let (host, other) = (clinic.host, clinic.nodes[1])
        try host.database.sql("INSERT INTO patients(id, fullName) VALUES ('p1', 'Ana')")
        try await clinic.converge()
        other.cut()
        try other.database.sql("UPDATE patients SET fullName = 'Earlier' WHERE id = 'p1'")
        // The later of two edits is the one of the later millisecond.
        let time = "SELECT strftime('%f', 'now')"
        let written = try other.database.value(time)
        try await clinic.wait(for: "the next millisecond") { try other.database.value(time) != written }
        try host.database.sql("UPDATE patients SET fullName = 'Later' WHERE id = 'p1'")
        other.heal()
        try await clinic.converge()
    }

    @Test("both PCs show a conflict, and the value that a person keeps on one is on all")
    func keepOther() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            try await self.disagree(clinic)
            let (host, other) = (clinic.host, clinic.nodes[1])
            for node in [host, other] {
                let entry = try #require(try await node.conflicts().conflicts.first)
                #expect(entry.current?.value == .text("Later") && entry.other.value == .text("Earlier"))
                #expect(try await node.status().conflicts.open == 1)
            }
            let entry = try #require(try await other.conflicts().conflicts.first)
            await #expect(throws: ClinicSyncError.self) {
                try await other.resolveConflict(entry.id, keepOther: true, expected: .text("Never shown"))
            }
            let resolved = try await other.resolveConflict(entry.id, keepOther: true, expected: .text("Later"))
            #expect(resolved.state == "resolved" && resolved.kept == "other")
            try await clinic.wait(for: "the value on the other PC") {
                try host.database.value("SELECT fullName FROM patients") == "Earlier"
            }
            try await clinic.converge()
            // An edit by somebody who had seen the value it replaced makes no conflict of its own.
            for node in [host, other] {
                #expect(try await node.conflicts(includingResolved: true).conflicts.map(\.id) == [entry.id])
                #expect(try await node.status().conflicts.open == 0)
            }
            let known = try #require(try await host.conflicts(includingResolved: true).conflicts.first)
            #expect(known.kept == "other" && known.resolvedBy == resolved.resolvedBy)
            let report = try await host.why("patients/p1/fullName")
            #expect(report.state == "shown" && report.columns.map(\.value) == [.text("Earlier")])
        }
    }

    @Test("what a person decided is known after a restart")
    func restart() async throws {
        try await TestClinic.start(nodes: 2) { clinic in
            try await self.disagree(clinic)
            let other = clinic.nodes[1]
            let entry = try #require(try await other.conflicts().conflicts.first)
            try await other.resolveConflict(entry.id, keepOther: false)
            try await other.restart()
            #expect(try await other.conflicts().conflicts.isEmpty)
            let known = try #require(try await other.conflicts(includingResolved: true).conflicts.first)
            #expect(known.id == entry.id && known.kept == "current")
            #expect(try other.database.value("SELECT fullName FROM patients") == "Later")
        }
    }
}
