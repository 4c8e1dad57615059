import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("Looking for commits of other programs")
struct CommitProbeTests {
    private let directory: TemporaryDirectory
    private let file: URL
    /// A program's connection.
    private let program: DatabaseQueue

    init() throws {
        self.directory = try TemporaryDirectory()
        self.file = self.directory.file("clinic.db")
        try SQLiteReplicaStore.create(at: self.file, origin: Origin(node: NodeID(high: 1, low: 1)))
        self.program = try DatabaseQueue(path: self.file.path())
    }

    /// A probe that has seen all there is.
    private func makeProbe() throws -> CommitProbe {
        let probe = try CommitProbe(path: self.file.path())
        #expect(probe.hasChanged(), "nothing has been looked at before the first look")
        #expect(!probe.hasChanged())
        return probe
    }

    private func write(_ sql: String) throws {
        try self.program.writeWithoutTransaction { try $0.execute(sql: sql) }
    }

    @Test("every commit of another connection is seen, once by each probe")
    func commits() throws {
        let probes = try [self.makeProbe(), self.makeProbe()]
        for number in 0..<3 {
            try self.write("INSERT INTO patients(id) VALUES ('p\(number)')")
            for probe in probes {
                #expect(probe.hasChanged(), "commit \(number)")
                #expect(!probe.hasChanged(), "commit \(number)")
            }
        }
        // Several since the last look are one change.
        try self.write("UPDATE patients SET fullName = 'Ana' WHERE id = 'p0'")
        try self.write("DELETE FROM patients WHERE id = 'p1'")
        for probe in probes {
            #expect(probe.hasChanged())
            #expect(!probe.hasChanged())
            probe.close()
        }
    }

    @Test("a commit of another process is seen")
    func otherProcess() throws {
        let probe = try self.makeProbe()
        try Program.sqlite3(self.file, "INSERT INTO patients(id) VALUES ('p');")
        #expect(probe.hasChanged())
        #expect(!probe.hasChanged())
        probe.close()
    }

    @Test("what is not committed, or was rolled back, or changed nothing, is not seen")
    func noCommit() throws {
        let probe = try self.makeProbe()
        try self.program.writeWithoutTransaction { program in
            try program.execute(sql: "BEGIN IMMEDIATE; INSERT INTO patients(id) VALUES ('p')")
            #expect(!probe.hasChanged(), "the transaction is open")
            try program.execute(sql: "ROLLBACK")
        }
        #expect(!probe.hasChanged(), "it was rolled back")
        try self.write("BEGIN IMMEDIATE; COMMIT")
        #expect(!probe.hasChanged(), "it was empty")
        _ = try self.program.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM patients") }
        #expect(!probe.hasChanged(), "it only read")
        // The same insert, committed.
        try self.write("BEGIN IMMEDIATE; INSERT INTO patients(id) VALUES ('p'); COMMIT")
        #expect(probe.hasChanged())
        probe.close()
    }

    @Test("a commit that leaves nothing to collect is not seen; capture switched off and another schema are")
    func nothingToCollect() throws {
        let probe = try self.makeProbe()
        try self.write("DELETE FROM clinicsync_event")
        #expect(!probe.hasChanged(), "no row of the clinic was written")
        try self.write("UPDATE clinicsync_guard SET applying = 1; INSERT INTO patients(id) VALUES ('p')")
        #expect(probe.hasChanged(), "capture is off")
        try self.write("UPDATE clinicsync_guard SET applying = 0")
        #expect(!probe.hasChanged())
        try self.write("DROP TRIGGER IF EXISTS none; CREATE TABLE other(id TEXT PRIMARY KEY)")
        #expect(probe.hasChanged(), "there is another table")
        try self.write("INSERT INTO other VALUES ('o')")
        #expect(!probe.hasChanged())
        try self.write("DELETE FROM clinicsync_guard")
        #expect(probe.hasChanged(), "capture cannot be on")
        probe.close()
    }

    @Test("a probe that was closed looks at nothing any more, however late it is asked")
    func closedProbe() throws {
        let (probe, open) = (try self.makeProbe(), try self.makeProbe())
        probe.close()
        try self.write("INSERT INTO patients(id) VALUES ('p')")
        #expect(open.hasChanged(), "there is something to see")
        #expect(!probe.hasChanged())
        probe.close()
        #expect(!probe.hasChanged())
        open.close()
        try FileManager.default.removeItem(at: self.file)
        #expect(!probe.hasChanged())
    }
}
