import ClinicSync
import ClinicSyncTestKit
import Foundation
import Testing

@Suite("A program keeps a write transaction open", .timeLimit(.minutes(1)))
struct LockedStoreTests {
    /// A program that has the file's write lock.
    private static func lock(_ path: String) async throws -> RunningProcess {
        let script = """
            import sqlite3, sys, time
            db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
            db.execute("BEGIN IMMEDIATE")
            print("locked", flush=True)
            time.sleep(60)
            """
        let program = try RunningProcess("/usr/bin/env", ["python3", "-", path], input: script)
        while try !program.output.contains("locked") {
            let end = try program.errors
            try #require(end.isEmpty, "\(end)")
            try await Task.sleep(for: .milliseconds(5))
        }
        return program
    }

    @Test("on the host: another PC is host, rows pass, status and sync name the PC and the program, and all end equal")
    func host() async throws {
        try await TestClinic.start(nodes: 3) { clinic in
            let (host, b, c) = (clinic.nodes[0], clinic.nodes[1], clinic.nodes[2])
            let program = try await LockedStoreTests.lock(host.database.path)
            try b.database.sql("INSERT INTO patients(id, fullName) VALUES ('late', 'Ana')")
            let here = try await host.status().node.id
            // Three seconds until the lock counts, and little more.
            try await clinic.wait(for: "the row to pass", within: .seconds(6)) {
                try c.database.value("SELECT count(*) FROM patients WHERE id = 'late'") == "1"
            }
            try await clinic.wait(for: "everybody to name the PC", within: .seconds(2)) {
                var named = 0
                for node in [host, b, c] {
                    named += try await node.status().lockedFiles.map(\.node) == [here] ? 1 : 0
                }
                return named == 3
            }
            let status = try await host.status()
            #expect(status.role == .client)
            #expect(status.lockedFiles.first?.process?.program == "python3")
            #expect(status.lockedFiles.first?.process?.id == program.identifier)
            #expect(status.pendingChanges > 0)
            #expect(status.lastReconciliation?.result != "equal")
            let sync = try await b.sync()
            #expect(sync.result == "unreachable")
            #expect(sync.nodes.filter { $0.result == "unreachable" }.map(\.id) == [here])
            await #expect(throws: ClinicSyncError.self) { try await host.notify("hello") }
            program.signal(SIGKILL)
            try await clinic.converge(within: .seconds(10))
            try await clinic.wait(for: "nobody to be named", within: .seconds(5)) {
                let named = try await [b.status().lockedFiles, host.status().lockedFiles]
                return named.allSatisfy(\.isEmpty)
            }
        }
    }
}
