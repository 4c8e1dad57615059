import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("Backups of a database file")
struct BackupTests {
    @Test("a backup has the clinic's rows, no sessions and nothing private, while the file is in use and locked")
    func content() throws {
        let pc = try FilePlace()
        let target = pc.directory.file("backup.db")
        try pc.insert("p1")
        try Program.sqlite3(
            pc.file,
            """
            INSERT INTO users(id, username) VALUES ('u1', 'ana');
            INSERT INTO user_sessions(id, userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken)
            VALUES ('s1', 'u1', 'ana', 'd', '2026', '2026', '2999', 'a-token-of-a-session');
            """
        )
        try pc.open { writer in
            #expect(try !writer.prepareCopy())
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            #expect(try writer.prepareCopy())
            let program = try DatabaseQueue(path: pc.file.path)
            try program.writeWithoutTransaction { db in
                try db.execute(sql: "BEGIN IMMEDIATE; INSERT INTO patients(id) VALUES ('not yet')")
                #expect(try pc.backUp(to: target)?.marks == 0)
                try db.execute(sql: "COMMIT")
            }
            try program.close()
        }
        #expect(try pc.directory.mode(of: "backup.db") == 0o600)
        #expect(try Program.sqlite3(target, "SELECT id FROM patients") == "p1")
        #expect(try Program.sqlite3(target, "SELECT id FROM users") == "u1")
        for table in [
            "user_sessions", "clinicsync_last_user_sessions", "clinicsync_session", "clinicsync_provisional",
            "clinicsync_event", "clinicsync_member", "clinicsync_unshared", "clinicsync_dirty",
        ] {
            #expect(try Program.sqlite3(target, "SELECT count(*) FROM \(table)") == "0", "\(table)")
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: pc.directory.url.path)
        #expect(names.filter { $0.hasPrefix("backup") } == ["backup.db"])
        let content = try BackupFile(path: target.path).examine()
        #expect(content.label == FilePlace.label)
        #expect(content.node == FilePlace.origin.node)
    }

    @Test("rows keep the numbers by which a program's own index names them")
    func rowNumbers() throws {
        let pc = try FilePlace()
        for id in ["a", "b", "c"] { try pc.insert(id) }
        try Program.sqlite3(
            pc.file,
            """
            DELETE FROM patients WHERE id = 'b'; CREATE TABLE words(row INTEGER);
            INSERT INTO words SELECT rowid FROM patients
            """
        )
        let target = pc.directory.file("backup.db")
        _ = try pc.backUp(to: target)
        let missing = "SELECT count(*) FROM words WHERE row NOT IN (SELECT rowid FROM patients)"
        #expect(try Program.sqlite3(target, missing) == "0")
        #expect(try Program.sqlite3(target, "SELECT max(rowid) > count(*) FROM patients") == "1")
    }

    @Test("a copy with rows that the node has not collected is not accepted, and leaves nothing")
    func notAccepted() throws {
        let pc = try FilePlace()
        try pc.insert("p1")
        let target = pc.directory.file("backup.db")
        let content = try BackupFile(path: target.path).make(
            of: pc.file.path,
            label: FilePlace.label,
            without: ClinicBackup.exclusions
        ) { content in
            #expect(content.marks > 0)
            return false
        }
        #expect(content == nil)
        let names = try FileManager.default.contentsOfDirectory(atPath: pc.directory.url.path)
        #expect(names.filter { $0.hasPrefix("backup") } == [])
    }

    @Test("no file is overwritten, and no directory, link or unfinished copy")
    func notOverwritten() throws {
        let pc = try FilePlace()
        let directory = pc.directory
        try Data("mine".utf8).write(to: directory.file("file"))
        try FileManager.default.createDirectory(at: directory.file("folder"), withIntermediateDirectories: false)
        try FileManager.default.createSymbolicLink(
            atPath: directory.file("link").path,
            withDestinationPath: directory.file("nowhere").path
        )
        try Data("mine".utf8).write(to: directory.file("other.new"))
        for name in ["file", "folder", "link", "other", "clinic.db"] {
            let error = #expect(throws: StoreError.self) { try pc.backUp(to: directory.file(name)) }
            #expect(error?.code == .exists, "\(name)")
        }
        #expect(try Data(contentsOf: directory.file("file")) == Data("mine".utf8))
        #expect(try Data(contentsOf: directory.file("other.new")) == Data("mine".utf8))
        #expect(!FileManager.default.fileExists(atPath: directory.file("nowhere").path))
    }

    @Test("a backup whose pages were damaged, or that is something else, is refused by name")
    func damaged() throws {
        let pc = try FilePlace()
        let target = pc.directory.file("backup.db")
        for number in 0..<200 { try pc.insert("patient \(number)") }
        _ = try pc.backUp(to: target)
        let whole = try Data(contentsOf: target)
        var torn = whole
        torn.replaceSubrange(whole.count / 2..<whole.count / 2 + 8_192, with: Data(count: 8_192))
        for content in [torn, whole.prefix(whole.count / 2), Data("no database at all".utf8), Data(count: 4_096)] {
            try content.write(to: target)
            let error = #expect(throws: StoreError.self) { try BackupFile(path: target.path).examine() }
            #expect(error?.code == .corrupt)
            #expect(error?.message.hasPrefix(target.path) == true)
        }
        let other = pc.directory.file("other.db")
        try Program.sqlite3(other, "CREATE TABLE patients(id TEXT)")
        for path in [other.path, other.path + "-none", pc.directory.url.path] {
            #expect(throws: StoreError.self) { try BackupFile(path: path).examine() }
        }
        let newer = pc.directory.file("newer.db")
        try whole.write(to: newer)
        try Program.sqlite3(newer, "INSERT INTO grdb_migrations VALUES ('m9999_future')")
        #expect(throws: SchemaError.newerDatabase(migration: "m9999_future")) {
            try BackupFile(path: newer.path).examine()
        }
    }
}

@Suite("Restoring a database file")
struct RestoreTests {
    @Test("a restored PC has what it and others did since; nothing deleted returns, and its writes arrive")
    func merges() throws {
        let pc = try FilePlace()
        let host = try TestStore(9)
        let backup = pc.directory.file("backup.db")
        for id in ["kept", "deleted here", "deleted there", "edited"] { try pc.insert(id) }
        try pc.meet(host)
        _ = try pc.backUp(to: backup)
        try Program.sqlite3(pc.file, "DELETE FROM patients WHERE id = 'deleted here'")
        try pc.insert("sent")
        try pc.meet(host)
        try host.sql("DELETE FROM patients WHERE id = 'deleted there'; INSERT INTO patients(id) VALUES ('of the host')")
        try host.sql("UPDATE patients SET fullName = 'Edited by the host' WHERE id = 'edited'")
        try host.collect()
        // The node has made a batch of the one, and not of the other.
        try pc.insert("not sent")
        try pc.open { _ = try $0.collect(clockOffsetMilliseconds: 0) }
        try pc.insert("not collected")
        let former = try pc.patients()
        let outcome = try pc.restore(backup)
        let aside = try #require(outcome.aside)
        #expect(outcome.lost == nil && outcome.unreadable == 0 && outcome.batches > 0)
        #expect(try Program.sqlite3(URL(filePath: aside), "SELECT count(*) FROM patients") == "\(former.count)")
        // Without any other node: everything that this PC knew.
        #expect(try pc.patients() == former)
        try pc.meet(host) { #expect($0.origin != FilePlace.origin) }
        try pc.insert("written later")
        try pc.meet(host)
        let expected = ["edited", "kept", "not collected", "not sent", "of the host", "sent", "written later"]
        #expect(try pc.patients() == expected)
        #expect(try host.value(Int.self, "SELECT count(*) FROM patients") == expected.count)
        let name = "SELECT fullName FROM patients WHERE id = 'edited'"
        #expect(try host.value(String.self, name) == "Edited by the host")
        #expect(try host.value(Int.self, "SELECT count(*) FROM clinicsync_conflict") == 0)
        try host.verify()
    }

    @Test("counters are not counted twice, whatever was collected when the backup was made")
    func counters() throws {
        let pc = try FilePlace()
        let host = try TestStore(9)
        let backup = pc.directory.file("backup.db")
        let count = "UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id = 'service-urinalysis'"
        let read = "SELECT selectionCount FROM clinic_services WHERE id = 'service-urinalysis'"
        try Program.sqlite3(pc.file, count)
        try pc.open { _ = try $0.collect(clockOffsetMilliseconds: 0) }
        try Program.sqlite3(pc.file, count)
        _ = try pc.backUp(to: backup)
        try Program.sqlite3(pc.file, count)
        try pc.meet(host)
        try host.sql(count)
        try pc.restore(backup)
        try pc.meet(host)
        try Program.sqlite3(pc.file, count)
        try pc.meet(host)
        #expect(try Program.sqlite3(pc.file, read) == "5")
        #expect(try host.value(Int.self, read) == 5)
    }

    @Test("without the former database the other nodes give back what it had")
    func missing() throws {
        let pc = try FilePlace()
        let host = try TestStore(9)
        let backup = pc.directory.file("backup.db")
        try pc.insert("before")
        _ = try pc.backUp(to: backup)
        try pc.insert("after")
        try pc.meet(host)
        for suffix in ["", "-numbers"] { try FileManager.default.removeItem(atPath: pc.file.path + suffix) }
        #expect(try pc.restore(backup).aside == nil)
        #expect(try pc.patients() == ["before"])
        try pc.insert("later")
        try pc.meet(host)
        #expect(try pc.patients() == ["after", "before", "later"])
        #expect(try host.value(Int.self, "SELECT count(*) FROM patients") == 3)
    }

    @Test(
        "a damaged former database is kept, and what can be read of its log is merged",
        arguments: ["pages", "tail", "cut", "other"]
    )
    func damagedFormer(_ damage: String) throws {
        let pc = try FilePlace()
        let host = try TestStore(9)
        let backup = pc.directory.file("backup.db")
        try Program.sqlite3(pc.file, "CREATE TABLE junk(bytes)")
        try pc.insert("before")
        try pc.meet(host)
        _ = try pc.backUp(to: backup)
        try pc.insert("not sent")
        try pc.open { _ = try $0.collect(clockOffsetMilliseconds: 0) }
        var content = try Data(contentsOf: pc.file)
        switch damage {
        case "pages":
            // The root page of the table of patients.
            let root = try #require(
                Int(try Program.sqlite3(pc.file, "SELECT rootpage FROM sqlite_schema WHERE name = 'patients'"))
            )
            content.replaceSubrange((root - 1) * 2_048..<root * 2_048, with: Data(repeating: 0xEE, count: 2_048))
        case "tail":
            // The file ends before what a program wrote last into a table of its own.
            let size = content.count
            try Program.sqlite3(pc.file, "INSERT INTO junk VALUES (randomblob(100000))")
            content = try Data(contentsOf: pc.file).prefix(size)
        case "cut": content = content.prefix(6_144)
        default: content = Data("a program wrote this".utf8)
        }
        try pc.overwrite(with: content)
        let outcome = try pc.restore(backup)
        let aside = try #require(outcome.aside)
        if damage != "pages" {
            #expect(try Data(contentsOf: URL(filePath: aside)) == content)
            #expect(outcome.lost != nil)
        }
        let isReadable = damage == "pages" || damage == "tail"
        #expect(try pc.patients() == (isReadable ? ["before", "not sent"] : ["before"]))
        try pc.insert("later")
        try pc.meet(host)
        #expect(try host.value(Int.self, "SELECT count(*) FROM patients WHERE id = 'later'") == 1)
    }

    @Test("the backup of one PC brings another PC of the clinic up, under the other PC's own name")
    func otherNode() throws {
        let pc = try FilePlace()
        let host = try TestStore(9)
        let backup = pc.directory.file("backup.db")
        try pc.insert("of the first")
        _ = try pc.backUp(to: backup)
        let other = try FilePlace(Origin(node: TestStore.node(77)))
        try other.insert("of the second")
        try other.restore(backup)
        #expect(try other.patients() == ["of the first", "of the second"])
        try other.meet(host) { #expect($0.origin.node == TestStore.node(77)) }
        try pc.insert("of the first later")
        try pc.meet(host)
        try other.meet(host)
        for place in [pc, other] {
            #expect(try place.patients() == ["of the first", "of the first later", "of the second"])
        }
    }

    @Test("a backup that is put in place by hand begins other numbers, too")
    func byHand() throws {
        let pc = try FilePlace()
        let host = try TestStore(9)
        let backup = pc.directory.file("backup.db")
        try pc.insert("before")
        _ = try pc.backUp(to: backup)
        try pc.insert("after")
        try pc.meet(host)
        try pc.overwrite(with: try Data(contentsOf: backup))
        try pc.insert("later")
        try pc.open { #expect($0.rebirth == .moved) }
        try pc.meet(host) { #expect($0.origin != FilePlace.origin) }
        #expect(try pc.patients() == ["after", "before", "later"])
        #expect(try host.value(Int.self, "SELECT count(*) FROM patients") == 3)
    }

    @Test("a restore is refused while a program has the database open; what an interrupted one left does no harm")
    func inUse() throws {
        let pc = try FilePlace()
        let backup = pc.directory.file("backup.db")
        try pc.insert("before")
        _ = try pc.backUp(to: backup)
        try pc.insert("after")
        let program = try DatabaseQueue(path: pc.file.path)
        #expect(try program.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM patients") } == 2)
        let error = #expect(throws: StoreError.self) { try pc.restore(backup) }
        #expect(error?.code == .locked)
        try program.close()
        #expect(try pc.patients() == ["after", "before"])
        for suffix in ["", "-wal", "-journal"] {
            try Data("an interrupted restore".utf8).write(to: URL(filePath: pc.file.path + ".restoring" + suffix))
        }
        try pc.restore(backup)
        #expect(try pc.patients() == ["after", "before"])
        let left = try FileManager.default.contentsOfDirectory(atPath: pc.directory.url.path)
        #expect(left.filter { $0.contains("restoring") } == [])
    }
}

@Suite("A database that is gone or cannot be opened")
struct RebuildTests {
    /// What happens to the file.
    enum Fate: String, CaseIterable, Sendable {
        case deleted, emptied, cut, overwritten, replaced, otherDatabase
    }

    private func strike(_ pc: FilePlace, _ fate: Fate) throws -> DatabaseLook {
        let content = try Data(contentsOf: pc.file)
        switch fate {
        case .deleted:
            try FileManager.default.removeItem(at: pc.file)
            return .missing
        case .emptied:
            try pc.overwrite(with: Data())
            return .foreign
        case .cut:
            try pc.overwrite(with: content.prefix(content.count / 2))
            return .damaged
        case .overwritten:
            try pc.overwrite(with: Data("a program wrote this".utf8))
            return .damaged
        case .replaced:
            try FileManager.default.removeItem(at: pc.file)
            try Data(count: 8_192).write(to: pc.file)
            return .damaged
        case .otherDatabase:
            try FileManager.default.removeItem(at: pc.file)
            try Program.sqlite3(pc.file, "CREATE TABLE patients(id TEXT); INSERT INTO patients VALUES ('of a program')")
            return .foreign
        }
    }

    @Test(
        "it is set aside and made again; no number is used twice, and nothing is lost or doubled",
        arguments: Fate.allCases
    )
    func rebuilt(_ fate: Fate) throws {
        let pc = try FilePlace()
        let host = try TestStore(9)
        let count = "UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id = 'service-urinalysis'"
        try pc.insert("first")
        try Program.sqlite3(pc.file, count)
        try pc.meet(host)
        try host.sql("DELETE FROM patients WHERE id = 'first'; INSERT INTO patients(id) VALUES ('second')")
        try host.sql(count)
        #expect(try DatabaseLook.at(pc.file.path) == .ofNode)
        #expect(DatabaseLook.ofNode.refusal == nil)
        let found = try self.strike(pc, fate)
        #expect(try DatabaseLook.at(pc.file.path) == found)
        #expect(found.refusal != nil)
        let outcome = try pc.restoration.rebuild()
        #expect((outcome.aside == nil) == (fate == .deleted))
        #expect(try DatabaseLook.at(pc.file.path) == .ofNode)
        try pc.insert("third")
        try Program.sqlite3(pc.file, count)
        try pc.meet(host) { #expect($0.origin != FilePlace.origin) }
        #expect(try pc.patients() == ["second", "third"])
        #expect(try host.value(Int.self, "SELECT count(*) FROM patients") == 2)
        let read = "SELECT selectionCount FROM clinic_services WHERE id = 'service-urinalysis'"
        #expect(try Program.sqlite3(pc.file, read) == "3")
        #expect(try host.value(Int.self, read) == 3)
    }

    @Test("what a run saved of a file that was deleted under it is merged")
    func rescued() throws {
        let pc = try FilePlace()
        try pc.insert("not sent")
        try pc.open { writer in
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            try pc.insert("not collected")
            #expect(writer.rescue(to: pc.file.path + ".rescued"))
        }
        try FileManager.default.removeItem(at: pc.file)
        let outcome = try pc.restoration.rebuild()
        #expect(outcome.batches > 0 && outcome.lost == nil)
        #expect(try pc.patients() == ["not collected", "not sent"])
    }

    @Test("a disk that damages each new file is not filled: the fourth one of a day is not made")
    func damagedAgain() throws {
        let pc = try FilePlace()
        for attempt in 1...4 {
            try pc.overwrite(with: Data("damage \(attempt)".utf8))
            if attempt < 4 {
                _ = try pc.restoration.rebuild()
                continue
            }
            let error = #expect(throws: StoreError.self) { try pc.restoration.rebuild() }
            #expect(error?.code == .corrupt)
        }
        #expect(try Data(contentsOf: pc.file) == Data("damage 4".utf8))
    }

    @Test("the log of a file that is gone is kept, and is not read into the new one")
    func logAlone() throws {
        let pc = try FilePlace()
        try pc.open { writer in
            try pc.insert("in the log")
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            let crashed = try pc.copy()
            #expect(FileManager.default.fileExists(atPath: crashed.file.path + "-wal"))
            try FileManager.default.removeItem(at: crashed.file)
            _ = try crashed.restoration.rebuild()
            #expect(try crashed.patients() == [])
            let names = try FileManager.default.contentsOfDirectory(atPath: crashed.directory.url.path)
            #expect(names.contains { $0.hasPrefix("clinic.db.set-aside-") && $0.hasSuffix("-wal") })
        }
    }

    @Test("the database of another node is not taken for one without an owner")
    func otherNode() throws {
        let pc = try FilePlace()
        let other = try FilePlace(Origin(node: TestStore.node(77)))
        try other.insert("of another")
        try pc.overwrite(with: try Data(contentsOf: other.file))
        let outcome = try pc.restoration.rebuild()
        #expect(outcome.lost?.contains("no database of this node") == true)
        #expect(try pc.patients() == [])
    }
}

extension FilePlace {
    static let label = BackupLabel(clinicID: "clinic", clinicName: "Santa Clara", nodeName: "desk", madeAt: 7)

    /// Makes a backup as the command does while the node is stopped, or while this process has it open.
    @discardableResult
    func backUp(to file: URL) throws -> BackupFile.Content? {
        if !FileManager.default.fileExists(atPath: self.file.path + "-wal") {
            try StoppedStore(path: self.file.path, node: self.origin.node) { FilePlace.now }.prepareCopy()
        }
        return try BackupFile(path: file.path).make(
            of: self.file.path,
            label: FilePlace.label,
            without: ClinicBackup.exclusions
        ) { $0.marks == 0 }
    }

    @discardableResult
    func restore(_ file: URL) throws -> FileRestore.Outcome {
        let backup = BackupFile(path: file.path)
        _ = try backup.examine()
        return try self.restoration.run(backup)
    }

    var restoration: FileRestore {
        FileRestore(
            path: self.file.path,
            node: self.origin.node,
            exclusions: ClinicBackup.exclusions
        ) { FilePlace.now }
    }

    static var now: Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }

    /// Opens the file, collects, and gives each side what it lacks.
    func meet(_ host: TestStore, _ body: (ReplicaWriter) throws -> Void = { _ in }) throws {
        host.now = FilePlace.now
        try self.open { writer in
            while try writer.collect(clockOffsetMilliseconds: 0).hasMore {}
            try body(writer)
            try self.exchange(writer, with: host)
        }
    }
}
