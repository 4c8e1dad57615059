import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

/// A backup put in place of the database: beside the log of another time, or into the open file.
@Suite("Backups in place of a database file")
struct StaleLogTests {
    /// A directory as a crash leaves it, and backups from before.
    private struct Crash {
        let image: FilePlace
        /// Each backup, with the patients in it.
        var backups: [(file: Data, patients: [String])]
    }

    /// Programs and the node write, programs move the log into the file, and backups are made, in an order that `seed` draws.
    private func crash(_ seed: UInt64) throws -> Crash {
        var generator = SplitMix64(seed: seed)
        let pc = try FilePlace()
        let backup = pc.directory.url.deletingLastPathComponent().appending(path: UUID().uuidString)
        defer { _ = Result { try FileManager.default.removeItem(at: backup) } }
        var crash: Crash?
        try pc.open { writer in
            let program = try DatabaseQueue(path: pc.file.path)
            var backups: [(Data, [String])] = []
            for step in 0..<18 {
                let kind = Int.random(in: 0..<8, using: &generator)
                try program.writeWithoutTransaction { db in
                    try db.execute(
                        sql: "INSERT INTO patients(id, address) VALUES (?, ?)",
                        arguments: ["p\(step)", String(repeating: "n", count: 100 * kind)]
                    )
                    if kind == 0 { try db.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)") }
                    if kind == 1 { try db.execute(sql: "PRAGMA wal_checkpoint(RESTART)") }
                }
                // Sometimes the program alone writes, sometimes the node writes much.
                if kind > 2 { _ = try writer.collect(clockOffsetMilliseconds: 0) }
                if step % 6 == 3 {
                    _ = Result { try FileManager.default.removeItem(at: backup) }
                    let target = try DatabaseQueue(path: backup.path)
                    try program.backup(to: target)
                    try target.close()
                    backups.append((try Data(contentsOf: backup), try pc.patients()))
                }
            }
            try program.execute("INSERT INTO patients(id) VALUES ('last'); INSERT INTO users(id) VALUES ('u')")
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            crash = Crash(image: try pc.copy(), backups: backups)
            try program.close()
        }
        return try #require(crash)
    }

    private func setAside(_ place: FilePlace) throws -> String? {
        try StaleLog(databasePath: place.file.path).setAside(at: 7)
    }

    @Test("a log stays with its file after a crash, and is set aside beside each backup", arguments: 1...4)
    func backups(_ seed: UInt64) throws {
        let crash = try self.crash(seed)
        let kept = try crash.image.copy()
        #expect(try self.setAside(kept) == nil)
        #expect(try kept.patients().contains("last"))
        #expect(crash.backups.count == 3)
        for (file, patients) in crash.backups {
            let restored = try crash.image.copy()
            try restored.overwrite(with: file)
            let aside = try #require(try self.setAside(restored))
            #expect(aside == restored.file.path + "-wal.set-aside-7")
            #expect(FileManager.default.fileExists(atPath: aside))
            #expect(try restored.patients() == patients)
        }
    }

    @Test("a log in use is left alone, and so is one that SQLite does not read")
    func inUse() throws {
        let crash = try self.crash(1)
        let restored = try crash.image.copy()
        try restored.overwrite(with: try #require(crash.backups.first).file)
        let program = try Self.user(of: restored.file)
        #expect(try self.setAside(restored) == nil)
        try program.close()
        for content in [Data(), Data(count: 31), Data(count: 4_096)] {
            let other = try crash.image.copy()
            try content.write(to: URL(fileURLWithPath: other.file.path + "-wal"))
            #expect(try self.setAside(other) == nil)
        }
        try FileManager.default.removeItem(at: restored.file)
        #expect(try self.setAside(restored) == nil)
    }

    /// A connection that has the file open in WAL mode, without having read its log.
    private static func user(of file: URL) throws -> DatabaseQueue {
        let queue = try DatabaseQueue(path: file.path)
        try queue.writeWithoutTransaction { db in _ = try Int.fetchOne(db, sql: "PRAGMA user_version") }
        return queue
    }

    @Test(
        "a backup that is copied into the open file is noticed before anything is written, and a program's table is not one"
    )
    func overwritten() throws {
        let pc = try FilePlace()
        try pc.open { writer in
            let program = try DatabaseQueue(path: pc.file.path)
            let backup = try DatabaseQueue()
            try pc.insert("p1")
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            try program.backup(to: backup)
            try program.execute("CREATE TABLE mine(a); INSERT INTO patients(id) VALUES ('p2')")
            #expect(try !writer.isFileOverwritten())
            #expect(try writer.collect(clockOffsetMilliseconds: 0).logged.count == 1)
            try backup.backup(to: program)
            #expect(try writer.isFileOverwritten())
            try program.execute("INSERT INTO patients(id) VALUES ('p3')")
            #expect(throws: StoreError.overwritten) { try writer.collect(clockOffsetMilliseconds: 0) }
            try program.close()
        }
        // The next start takes the file as a restored backup.
        try pc.open { writer in
            #expect(writer.rebirth == .older)
            let logged = try writer.collect(clockOffsetMilliseconds: 0).logged
            #expect(logged.count == 1)
        }
        #expect(try pc.patients() == ["p1", "p3"])
    }

    @Test("the index of a log of another time does no harm where there is no log")
    func indexAlone() throws {
        let pc = try FilePlace()
        let index = URL(filePath: pc.file.path + "-shm")
        var former = Data()
        try pc.open { writer in
            try pc.insert("p1")
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            former = try Data(contentsOf: index)
        }
        try pc.insert("p2")
        for content in [former, Data(repeating: 0xEE, count: former.count)] {
            #expect(!FileManager.default.fileExists(atPath: pc.file.path + "-wal"))
            try content.write(to: index)
            try pc.open { writer in
                _ = try writer.collect(clockOffsetMilliseconds: 0)
                #expect(try writer.state().vector[pc.origin] == 2)
            }
            #expect(try pc.patients() == ["p1", "p2"])
        }
    }

    @Test("a copy of the file from before the last start is noticed, also when it has every batch")
    func sameProgress() throws {
        let pc = try FilePlace()
        let backup = try DatabaseQueue()
        try pc.open { writer in
            let program = try DatabaseQueue(path: pc.file.path)
            try pc.insert("p1")
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            try program.backup(to: backup)
            try program.close()
        }
        try pc.open { writer in
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            let program = try DatabaseQueue(path: pc.file.path)
            try program.execute("CREATE TABLE mine(a)")
            #expect(try !writer.isFileOverwritten())
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            try backup.backup(to: program)
            #expect(try writer.isFileOverwritten())
            #expect(throws: StoreError.overwritten) { _ = try writer.recordTerm(7) }
            try program.close()
        }
    }
}

extension DatabaseQueue {
    fileprivate func execute(_ sql: String) throws { try self.writeWithoutTransaction { try $0.execute(sql: sql) } }
}
