import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

/// A page of the file is garbage: of any table, index, and bookkeeping table.
@Suite("Damaged pages of a database file")
struct DamagedPagesTests {
    /// A table or an index, and the pages that have its content.
    struct Tree: Sendable, CustomStringConvertible {
        var name: String
        var pages: [Int]
        var description: String { self.name }
    }

    /// A PC with rows in every table of the clinic, of which the host has all but the last batch.
    private struct Clinic {
        let pc: FilePlace
        let host: TestStore
        let trees: [Tree]

        init() throws {
            self.pc = try FilePlace()
            self.host = try TestStore(9)
            // Sessions end by themselves.
            let columns = try Program.sqlite3(
                self.pc.file,
                """
                SELECT t.name, k.name, k.pk FROM clinicsync_table t, pragma_table_info(t.name) k
                WHERE (k.pk = 1 OR (k."notnull" AND k.dflt_value IS NULL))
                AND t.name NOT LIKE 'clinicsync%' AND t.name <> 'user_sessions' ORDER BY t.name
                """
            ).split(separator: "\n").map { $0.split(separator: "|") }
            let tables = Dictionary(grouping: columns) { $0[0] }
            #expect(tables.count == 12)
            let rows = tables.map { table, columns in
                let values = columns.map { column in
                    "'\(column[2] == "1" ? table : column[1] == "userId" ? "users" : "patients") ' || i"
                }
                let names = columns.map { String($0[1]) }.joined(separator: ", ")
                return "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) "
                    + "INSERT INTO \(table)(\(names)) SELECT \(values.joined(separator: ", ")) FROM n;"
            }
            try Program.sqlite3(self.pc.file, rows.joined())
            try Program.sqlite3(self.pc.file, "UPDATE patients SET fullName = 'Ana ' || id")
            try self.pc.meet(self.host)
            try self.host.sql(
                "DELETE FROM patients WHERE id = 'patients 3'; UPDATE patients SET email = 'x' WHERE id > 'patients 5'"
            )
            try self.pc.meet(self.host)
            try Program.sqlite3(self.pc.file, "UPDATE clinic_services SET selectionCount = selectionCount + 1")
            try self.pc.insert("not sent")
            try self.pc.open { writer in while try writer.collect(clockOffsetMilliseconds: 0).hasMore {} }
            self.trees = try DamagedPagesTests.trees(of: self.pc.file)
        }

        /// A PC with garbage in the pages of a tree.
        func damaged(_ tree: Tree) throws -> FilePlace {
            let place = try self.pc.copy()
            var content = try Data(contentsOf: place.file)
            for page in tree.pages {
                content.replaceSubrange((page - 1) * 2_048..<page * 2_048, with: Data(repeating: 0xEE, count: 2_048))
            }
            try place.overwrite(with: content)
            return place
        }
    }

    private static func trees(of file: URL) throws -> [Tree] {
        let queue = try DatabaseQueue(path: file.path)
        defer { _ = Result { try queue.close() } }
        return try queue.read { db in
            try Row.fetchAll(
                db,
                sql: "SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0 ORDER BY name"
            )
            .map { row in Tree(name: row[0], pages: [row[1]]) }
        }
    }

    @Test("it is found, the file is set aside and made again from the others, and what nobody else had is there")
    func rebuilt() throws {
        let clinic = try Clinic()
        #expect(try DatabaseLook.isIntact(clinic.pc.file.path))
        for place in StoreScenario.places(of: clinic.trees.count, count: 4) {
            let tree = clinic.trees[place - 1]
            let pc = try clinic.damaged(tree)
            #expect(try !DatabaseLook.isIntact(pc.file.path), "\(tree)")
            let outcome = try pc.restoration.rebuild()
            let aside = try #require(outcome.aside)
            #expect(FileManager.default.fileExists(atPath: aside), "\(tree)")
            let host = try TestStore(8)
            _ = try host.writer.store(DiskStore.chunks(of: clinic.host), clockOffsetMilliseconds: 0)
            try pc.meet(host)
            // The chunks of the log, and what finds them, are all that a batch is in which no other node has.
            let isLogged = !["clinicsync_log", "sqlite_schema"].contains(tree.name)
            let expected = 30 + (isLogged ? 1 : 0)
            let patients = try pc.patients()
            #expect(patients.count == expected - 1, "\(tree): \(outcome)")
            #expect(patients.contains("not sent") == isLogged, "\(tree): \(outcome)")
            #expect(try host.value(Int.self, "SELECT count(*) FROM patients") == expected - 1, "\(tree)")
        }
    }

    @Test("a node that runs on such a file names it, keeps what it has, and tells nobody that rows are gone")
    func running() throws {
        let clinic = try Clinic()
        for place in StoreScenario.places(of: clinic.trees.count, count: 10) {
            let tree = clinic.trees[place - 1]
            let pc = try clinic.damaged(tree)
            let host = try TestStore(8)
            _ = try host.writer.store(DiskStore.chunks(of: clinic.host), clockOffsetMilliseconds: 0)
            let before = try host.dump()
            let opened = Result { try pc.open { writer in try self.work(writer, host, tree) } }
            if case .failure(let error) = opened {
                let isNamed = (error as? StoreError)?.code == .corrupt || (error as? OwnDamage) != nil
                #expect(isNamed, "\(tree): \(error)")
            }
            let lost = Set(before).subtracting(try host.dump())
            #expect(lost.allSatisfy { $0.contains("clinic_services") }, "\(tree): \(lost)")
            try host.verify()
        }
    }

    /// Asks a damaged store for everything that a core asks for, and gives the host what it makes.
    private func work(_ writer: ReplicaWriter, _ host: TestStore, _ tree: Tree) throws {
        let executor = WritingExecutor(writer, retentionMilliseconds: .max / 2)
        let reader = try ReplicaReader(beside: writer)
        defer { reader.close() }
        let reading = ReadingExecutor(reader)
        let requests: [StorageRequest] = [
            .collect(clockOffsetMilliseconds: 0), .sweep(table: nil, .sync(id: 1)),
            .prune(MemberPresence(isHost: false)), .recordTerm(9),
        ]
        var replies = requests.map { executor.perform($0) }
        replies.append(reading.perform(.digests(.question(round: 1))))
        replies.append(reading.perform(.readLog(for: ConnectionID(rawValue: 1), after: 0, maxBytes: .max)))
        for reply in replies {
            guard case .failed(_, let failure) = self.inner(reply) else { continue }
            if case .damaged = failure { continue }
            Issue.record("\(tree): \(failure)")
        }
        let vector = try host.vector
        guard case .logRead(_, let chunks, _) = replies.last else { return }
        let lacking = chunks.map(\.chunk).filter { vector[$0.batch.origin] < $0.batch.sequence }
        _ = try host.writer.store(lacking, clockOffsetMilliseconds: 0)
    }

    private func inner(_ reply: StorageReply) -> StorageReply {
        if case .noticed(_, let reply) = reply { self.inner(reply) } else { reply }
    }

    @Test("a row that breaks a CHECK is no damage of the file")
    func check() throws {
        let pc = try FilePlace()
        try Program.sqlite3(
            pc.file,
            """
            CREATE TABLE mine(a CHECK (a > 0)); PRAGMA ignore_check_constraints = ON; INSERT INTO mine VALUES (-1);
            """
        )
        #expect(try Program.sqlite3(pc.file, "PRAGMA integrity_check").contains("CHECK constraint failed"))
        #expect(try DatabaseLook.isIntact(pc.file.path))
    }

    @Test("rows that a program wrote last and that are in no batch are taken over where they can be read")
    func unlogged() throws {
        let clinic = try Clinic()
        try Program.sqlite3(
            clinic.pc.file,
            """
            INSERT INTO patients(id, fullName) VALUES ('new', 'Nora');
            UPDATE patients SET fullName = 'Edited' WHERE id = 'patients 7';
            DELETE FROM patients WHERE id = 'patients 8'
            """
        )
        let origin = try #require(clinic.trees.first { $0.name == "clinicsync_origin" })
        let pc = try clinic.damaged(origin)
        let outcome = try pc.restoration.rebuild()
        #expect(outcome.rows == 2)
        #expect(outcome.lost?.contains("2 were taken over, 1 were not") == true, "\(outcome.lost ?? "")")
        try clinic.host.sql("UPDATE patients SET email = 'later' WHERE id = 'patients 7'")
        try pc.meet(clinic.host)
        for read in ["SELECT fullName || email FROM patients WHERE id = 'patients 7'"] {
            #expect(try Program.sqlite3(pc.file, read) == "Editedlater")
            #expect(try clinic.host.value(String.self, read) == "Editedlater")
        }
        #expect(try clinic.host.value(String.self, "SELECT fullName FROM patients WHERE id = 'new'") == "Nora")
    }
}

/// A restore or a rebuild ends at any of its steps, and a node starts on what is left.
@Suite("The end of a restore at any step")
struct RestoreCrashTests {
    @Test("the clinic has everything once, whether the file was restored or not", arguments: [true, false])
    func anyStep(isDamaged: Bool) throws {
        let pc = try FilePlace()
        let host = try TestStore(9)
        let backup = pc.directory.file("backup.db")
        let count = "UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id = 'service-urinalysis'"
        try pc.insert("in the backup")
        try Program.sqlite3(pc.file, count)
        try pc.meet(host)
        _ = try pc.backUp(to: backup)
        try pc.insert("not sent")
        try Program.sqlite3(pc.file, count)
        try pc.open { _ = try $0.collect(clockOffsetMilliseconds: 0) }
        if isDamaged {
            let root = try #require(
                Int(try Program.sqlite3(pc.file, "SELECT rootpage FROM sqlite_schema WHERE name = 'clinicsync_origin'"))
            )
            var content = try Data(contentsOf: pc.file)
            content.replaceSubrange((root - 1) * 2_048..<root * 2_048, with: Data(repeating: 0xEE, count: 2_048))
            try pc.overwrite(with: content)
            // Beside a file that cannot be opened there may be a log.
            try Data("a log that SQLite does not read".utf8).write(to: URL(filePath: pc.file.path + "-wal"))
        } else {
            try pc.insert("not collected")
        }
        var left: [Result<FilePlace, any Error>] = []
        var restoration = pc.restoration
        restoration.willChange = { left.append(Result { try pc.copy() }) }
        if isDamaged { _ = try restoration.rebuild() } else { _ = try restoration.run(BackupFile(path: backup.path)) }
        let places = try left.map { try $0.get() }
        #expect(places.count >= 8)
        for number in StoreScenario.places(of: places.count, count: 4) {
            let (step, place) = (number - 1, places[number - 1])
            #expect(FileManager.default.fileExists(atPath: place.file.path), "step \(step)")
            if try !DatabaseLook.isIntact(place.file.path) { _ = try place.restoration.rebuild() }
            let other = try TestStore(9)
            _ = try other.writer.store(DiskStore.chunks(of: host), clockOffsetMilliseconds: 0)
            try place.meet(other)
            let expected = ["in the backup"] + (isDamaged ? [] : ["not collected"]) + ["not sent"]
            #expect(try place.patients() == expected, "step \(step)")
            let read = "SELECT selectionCount FROM clinic_services WHERE id = 'service-urinalysis'"
            #expect(try Program.sqlite3(place.file, read) == "2", "step \(step)")
            #expect(try other.value(Int.self, read) == 2, "step \(step)")
        }
    }
}
