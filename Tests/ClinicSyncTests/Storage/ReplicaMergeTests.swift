import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("Merging of concurrent writes")
struct ReplicaMergeTests {
    @Test("an inserted row arrives with every storage class intact")
    func insertTravels() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql(
            "INSERT INTO patients(id, fullName, address, email, gender, suffix, civilStatus) VALUES('p1', ?, ?, ?, ?, ?, ?)",
            ["José 🩺\u{0}x", "".databaseValue, Int64.max, 0.1 + 0.2, "x".data(using: .utf8), nil]
        )
        try a.send(to: b)
        #expect(try b.value(String.self, "SELECT id FROM patients") == "p1")
        try expectEqual([a, b])
    }

    @Test("edits of different columns are both kept")
    func disjointEdits() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try converge([a, b])
        try a.sql("UPDATE patients SET address = 'Street 1' WHERE id = 'p1'")
        try b.sql("UPDATE patients SET contactNumber = '555' WHERE id = 'p1'")
        try converge([a, b])
        #expect(try a.value(String.self, "SELECT address || contactNumber FROM patients") == "Street 1555")
        #expect(try a.value(Int.self, "SELECT count(*) FROM clinicsync_conflict") == 0)
        try expectEqual([a, b])
    }

    @Test("a full-row upsert that changes one column counts as a change of that column alone")
    func upsertChangesOneColumn() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName, gender, email) VALUES('p1', 'Ana', 'f', 'old')")
        try converge([a, b])
        try a.sql("INSERT OR REPLACE INTO patients(id, fullName, gender, email) VALUES('p1', 'Ana', 'f', 'new')")
        try b.sql("INSERT OR REPLACE INTO patients(id, fullName, gender, email) VALUES('p1', 'Anna', 'f', 'old')")
        try converge([a, b])
        #expect(try b.value(String.self, "SELECT fullName || email FROM patients") == "Annanew")
        try expectEqual([a, b])
    }

    @Test("of two edits of one column the later wins and the other is in the journal of both")
    func sameColumn() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try converge([a, b])
        try a.sql("UPDATE patients SET fullName = 'Earlier' WHERE id = 'p1'")
        b.now += 10
        try b.sql("UPDATE patients SET fullName = 'Later' WHERE id = 'p1'")
        try converge([a, b])
        for store in [a, b] {
            #expect(try store.value(String.self, "SELECT fullName FROM patients") == "Later")
            #expect(try store.value(String.self, "SELECT value FROM clinicsync_conflict") == "Earlier")
            #expect(try store.value(Int.self, "SELECT count(*) FROM clinicsync_conflict") == 1)
        }
        try expectEqual([a, b])
    }

    @Test("edits one after the other leave no trace in the journal")
    func sequentialEdits() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        for round in 0..<4 {
            try converge([a, b])
            try (round.isMultiple(of: 2) ? a : b).sql("UPDATE patients SET fullName = 'Ana \(round)'")
        }
        try converge([a, b])
        #expect(try b.value(String.self, "SELECT fullName FROM patients") == "Ana 3")
        #expect(try a.value(Int.self, "SELECT count(*) FROM clinicsync_conflict") == 0)
        try expectEqual([a, b])
    }

    @Test("an edit made with a slow clock still beats the value it was made from")
    func slowClock() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try converge([a, b])
        b.now -= 86_400_000
        try b.sql("UPDATE patients SET fullName = 'Anna'")
        try converge([a, b])
        #expect(try a.value(String.self, "SELECT fullName FROM patients") == "Anna")
        try expectEqual([a, b])
    }

    @Test("what a program wrote just before it deleted a row is in the row when somebody's edit keeps it alive")
    func editedAndDeleted() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO clinic_services(id, serviceName, description) VALUES('s', 'New', 'before')")
        try converge([a, b])
        try a.sql("UPDATE clinic_services SET description = 'after', selectionCount = 3 WHERE id = 's'")
        try a.sql("DELETE FROM clinic_services WHERE id = 's'")
        try b.sql("UPDATE clinic_services SET category = 'kept', selectionCount = 4 WHERE id = 's'")
        try converge([a, b])
        let row = "SELECT description || category || selectionCount FROM clinic_services WHERE id = 's'"
        for store in [a, b] { #expect(try store.value(String.self, row) == "afterkept7") }
        try expectEqual([a, b])
    }

    @Test("increments of a counter add up, also a reset", arguments: [(-3, -4, 3), (1, 1, 12), (-10, 5, 5)])
    func counters(first: Int, second: Int, sum: Int) throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO clinic_services(id, serviceName, selectionCount) VALUES('s', 'New', 10)")
        try converge([a, b])
        try a.sql("UPDATE clinic_services SET selectionCount = selectionCount + ? WHERE id = 's'", [first])
        try b.sql("UPDATE clinic_services SET selectionCount = selectionCount + ? WHERE id = 's'", [second])
        try converge([a, b])
        try converge([a, b])
        #expect(try a.value(Int.self, "SELECT selectionCount FROM clinic_services WHERE id = 's'") == sum)
        try expectEqual([a, b])
    }

    @Test("seed rows are equal on every install and cost no batch")
    func seedRows() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        #expect(try a.value(Int.self, "SELECT count(*) FROM clinic_services") ?? 0 > 0)
        #expect(try a.vector.isEmpty)
        try expectEqual([a, b])
    }

    @Test("a seed row that was deleted before another node joined is deleted there too")
    func deletedSeedRow() throws {
        let a = try TestStore(1)
        try a.sql("DELETE FROM clinic_services")
        try a.collect()
        let b = try TestStore(2)
        try converge([a, b])
        #expect(try b.value(Int.self, "SELECT count(*) FROM clinic_services") == 0)
        try expectEqual([a, b])
    }

    @Test("an edit that the deleter had not seen keeps the row alive, whichever comes first", arguments: [true, false])
    func editBeatsDelete(editFirst: Bool) throws {
        let (a, b, c) = (try TestStore(1), try TestStore(2), try TestStore(3))
        try a.sql("INSERT INTO patients(id, fullName, gender) VALUES('p1', 'Ana', 'f')")
        try converge([a, b, c])
        try a.sql("DELETE FROM patients")
        try b.sql("UPDATE patients SET email = 'x'")
        try (editFirst ? b : a).send(to: c)
        try (editFirst ? a : b).send(to: c)
        try converge([a, b, c])
        #expect(try a.value(String.self, "SELECT fullName || gender || email FROM patients") == "Anafx")
        try expectEqual([a, b, c])
    }

    @Test("in a table whose deletions win a concurrent edit does not bring the row back", arguments: [true, false])
    func deleteWins(editFirst: Bool) throws {
        let (a, b, c) = (try TestStore(1), try TestStore(2), try TestStore(3))
        let insert = """
            INSERT INTO active_patient_queue(queueEntryId, patientName, arrivalTime, queueNumber, status, createdAt)
            VALUES('q', 'Ana', '', 1, 'waiting', '')
            """
        try a.sql(insert)
        try converge([a, b, c])
        try a.sql("DELETE FROM active_patient_queue")
        try b.sql("UPDATE active_patient_queue SET status = 'served'")
        try (editFirst ? b : a).send(to: c)
        try converge([a, b, c])
        #expect(try c.value(Int.self, "SELECT count(*) FROM active_patient_queue") == 0)
        try c.sql(insert)
        try converge([a, b, c])
        #expect(try a.value(String.self, "SELECT status FROM active_patient_queue") == "waiting")
        try expectEqual([a, b, c])
    }

    @Test("a row deleted and inserted again under its id is the new row everywhere")
    func reinsert() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName, email) VALUES('p1', 'Ana', 'x')")
        try converge([a, b])
        try a.sql("DELETE FROM patients")
        try converge([a, b])
        try b.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Bea')")
        try converge([a, b])
        #expect(try a.value(String.self, "SELECT fullName FROM patients WHERE email IS NULL") == "Bea")
        try expectEqual([a, b])
    }

    @Test("a changed key is a deletion and an insertion")
    func keyChange() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try converge([a, b])
        try a.sql("UPDATE patients SET id = 'p2'")
        try converge([a, b])
        #expect(try b.value(String.self, "SELECT group_concat(id) FROM patients") == "p2")
        try expectEqual([a, b])
    }

    @Test("a mark on an unchanged row sends nothing")
    func unchanged() throws {
        let a = try TestStore(1)
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try a.collect()
        try a.sql("UPDATE patients SET fullName = fullName")
        let outcome = try a.collect()
        #expect(outcome.logged.isEmpty && outcome.events.isEmpty)
        #expect(try a.value(Int.self, "SELECT count(*) FROM clinicsync_dirty") == 0)
    }

    @Test("a batch waits for what its author had seen")
    func causality() throws {
        let (a, b, c) = (try TestStore(1), try TestStore(2), try TestStore(3))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try a.send(to: b)
        try b.sql("UPDATE patients SET fullName = 'Anna'")
        try b.collect()
        let chunks = try b.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
        try #require(chunks.count == 2)
        var outcome = try c.writer.store([chunks[1]], clockOffsetMilliseconds: 0)
        #expect(outcome.vector.isEmpty && outcome.logged.count == 1)
        outcome = try c.writer.store([chunks[0], chunks[1]], clockOffsetMilliseconds: 0)
        #expect(try outcome.vector == b.vector)
        #expect(outcome.logged.count == 1, "the early chunk was logged twice")
        try expectEqual([b, c])
    }

    @Test("a write past the triggers becomes an edit before anything is merged into its row")
    func mergeIntoEscaped() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName, email) VALUES('p1', 'Ana', 'e')")
        try a.send(to: b)
        try b.sql("UPDATE clinicsync_guard SET applying = 1")
        try b.sql("UPDATE patients SET email = 'unseen' WHERE id = 'p1'")
        try b.sql("UPDATE clinicsync_guard SET applying = 0")
        try a.sql("UPDATE patients SET fullName = 'Anna' WHERE id = 'p1'")
        try converge([a, b])
        try expectEqual([a, b])
        #expect(try a.value(String.self, "SELECT fullName || email FROM patients WHERE id = 'p1'") == "Annaunseen")
    }

    @Test("damaged chunks and second batches under one name are refused and leave nothing")
    func hostileChunks() throws {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        let chunk = try #require(try a.collect().logged.first?.chunk)
        let damaged = BatchChunk(
            batch: chunk.batch,
            index: 0,
            header: chunk.header,
            isLast: true,
            checksum: chunk.checksum,
            payload: chunk.payload + [0]
        )
        #expect(throws: MalformedChunk.self) { try b.writer.store([damaged], clockOffsetMilliseconds: 0) }
        #expect(try b.vector.isEmpty)
        try a.send(to: b)
        let twin = try TestStore(1)
        try twin.sql("INSERT INTO patients(id, fullName) VALUES('p9', 'Twin')")
        let fork = try #require(try twin.collect().logged.first?.chunk)
        #expect(throws: ForkedBatch.self) { try b.writer.store([fork], clockOffsetMilliseconds: 0) }
    }
}
