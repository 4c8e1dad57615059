import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@Suite("Copies and backups of a database file")
struct IncarnationTests {
    @Test("a file opened again where it was goes on with its numbers")
    func samePlace() throws {
        let pc = try FilePlace()
        try pc.open { writer in
            #expect(writer.rebirth == nil)
            #expect(writer.origin == FilePlace.origin)
        }
        try pc.insert("p1")
        try pc.open { _ = try $0.collect(clockOffsetMilliseconds: 0) }
        try pc.insert("p2")
        try pc.open { writer in
            #expect(writer.rebirth == nil)
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            #expect(try writer.state().vector == VersionVector([.init(origin: FilePlace.origin, sequence: 2)]))
        }
    }

    @Test("a copy of the directory writes under other numbers, and the clinic takes the changes of both")
    func copiedDirectory() throws {
        let pc = try FilePlace()
        try pc.insert("p1")
        try pc.open { _ = try $0.collect(clockOffsetMilliseconds: 0) }
        let clones = [try pc.copy(), try pc.copy()]
        var origins: Set<Origin> = []
        let host = try TestStore(9)
        for (index, place) in ([pc] + clones).enumerated() {
            try place.insert("own\(index)")
            try place.open { writer in
                #expect(writer.rebirth == (index == 0 ? nil : .moved))
                #expect(origins.insert(writer.origin).inserted)
                _ = try writer.collect(clockOffsetMilliseconds: 0)
                try place.exchange(writer, with: host)
            }
        }
        for place in [pc] + clones {
            try place.open { writer in
                #expect(writer.rebirth == nil)
                try place.exchange(writer, with: host)
                #expect(try place.patients() == ["own0", "own1", "own2", "p1"])
                #expect(try writer.state().vector == host.vector)
            }
        }
    }

    @Test("a witness that a power cut took back to a former incarnation says nothing")
    func staleWitness() throws {
        let pc = try FilePlace()
        try pc.insert("p1")
        try pc.open { _ = try $0.collect(clockOffsetMilliseconds: 0) }
        let clone = try pc.copy()
        let witness = clone.file.path + "-numbers"
        let before = try #require(FileManager.default.contents(atPath: witness))
        try clone.open { #expect($0.rebirth == .moved) }
        try before.write(to: URL(fileURLWithPath: witness))
        try clone.open { #expect($0.rebirth == nil) }
    }

    @Test("a copy made while the node runs writes under other numbers")
    func copiedWhileRunning() throws {
        let pc = try FilePlace()
        let host = try TestStore(9)
        try pc.open { writer in
            try pc.insert("p1")
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            let clone = try pc.copy()
            for (place, name) in [(pc, "here"), (clone, "there")] { try place.insert(name) }
            try clone.open { other in
                #expect(other.rebirth == .moved)
                for (place, writer) in [(pc, writer), (clone, other)] {
                    _ = try writer.collect(clockOffsetMilliseconds: 0)
                    try place.exchange(writer, with: host)
                }
            }
            try pc.exchange(writer, with: host)
        }
        #expect(try pc.patients() == ["here", "p1", "there"])
    }

    @Test("the same disk in another PC goes on under other numbers")
    func otherMachine() throws {
        let pc = try FilePlace()
        try pc.open { #expect($0.rebirth == nil) }
        let other = pc.directory.url.appending(path: "machine-id")
        try Data("0123456789abcdef\n".utf8).write(to: other)
        try pc.open(machineIDPath: other.path) { #expect($0.rebirth == .moved) }
        try pc.open(machineIDPath: other.path) { #expect($0.rebirth == nil) }
    }

    @Test("a backup written over the file goes on under other numbers, and gets back what it had forgotten")
    func restoredInPlace() throws {
        let pc = try FilePlace()
        let host = try TestStore(9)
        try pc.insert("p1")
        try pc.open { _ = try $0.collect(clockOffsetMilliseconds: 0) }
        let backup = try Data(contentsOf: pc.file)
        try pc.insert("p2")
        try pc.open { writer in
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            try pc.exchange(writer, with: host)
        }
        try pc.overwrite(with: backup)
        try pc.insert("p3")
        try pc.open { writer in
            #expect(writer.rebirth == .older)
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            try pc.exchange(writer, with: host)
        }
        #expect(try pc.patients() == ["p1", "p2", "p3"])
        #expect(try host.value(Int.self, "SELECT count(*) FROM patients") == 3)
    }

    @Test("who meets its own later numbers refuses them, and goes on under others when it is opened again")
    func formerSelf() throws {
        let pc = try FilePlace()
        let host = try TestStore(9)
        let backup = try pc.snapshot()
        try pc.insert("p1")
        try pc.open { writer in
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            try pc.exchange(writer, with: host)
        }
        // A virtual machine went back to a snapshot. Nothing on this PC can detect this.
        try pc.restore(backup)
        try pc.open { writer in
            #expect(writer.rebirth == nil)
            let chunks = try host.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
            let executor = WritingExecutor(writer, retentionMilliseconds: 0)
            let request = StorageRequest.store(from: ConnectionID(rawValue: 1), chunks)
            let lost = BatchID(origin: FilePlace.origin, sequence: 1)
            #expect(executor.perform(request) == .failed(request, .forked(lost)))
        }
        try pc.insert("p2")
        try pc.open { writer in
            #expect(writer.rebirth == .forked)
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            try pc.exchange(writer, with: host)
        }
        #expect(try pc.patients() == ["p1", "p2"])
        #expect(try host.value(Int.self, "SELECT count(*) FROM patients") == 2)
        try pc.open { #expect($0.rebirth == nil) }
    }
}

/// A virtual machine goes back to a snapshot, and its node makes batches before it meets the others: numbers are used twice.
@Suite("A node that was set back and wrote before it met the others")
struct SetBackTests {
    @Test("all have the rows of both pasts, whether the node notices that it was set back or not", arguments: [1, 3])
    func bothPasts(batches: Int) throws {
        let (pc, host) = (try TestStore(1), try TestStore(2))
        try self.insert(["p1"], at: pc)
        try converge([pc, host])
        let snapshot = try DatabaseQueue(configuration: StoreDatabase.configuration(isFile: false))
        try pc.queue.backup(to: snapshot)
        try self.insert(["p2", "p3"], at: pc)
        try converge([pc, host])
        var back = try TestStore(1, over: snapshot)
        let written = (1...batches).map { "q\($0)" }
        try self.insert(written, at: back)
        let used = try back.vector[back.origin]
        let later = try host.reader.readLog(after: 0, maxBytes: .max).chunks.map(\.chunk)
            .filter { $0.batch.origin == back.origin && $0.batch.sequence > used }
        // With fewer batches than before the node meets a later number of its own; with more, nobody can tell.
        if !later.isEmpty {
            #expect(throws: ForkedBatch.self) { _ = try back.writer.store(later, clockOffsetMilliseconds: 0) }
            back = try TestStore(1, incarnation: 1, over: snapshot)
        }
        #expect(later.isEmpty == (batches > 2))
        for _ in 0..<2 {
            try converge([back, host])
            _ = try RoundRun(client: back, host: host).round()
        }
        #expect(try RoundRun(client: back, host: host).round() == .equal)
        try expectEqual([back, host])
        let ids = try host.queue.read { try String.fetchAll($0, sql: "SELECT id FROM patients ORDER BY id") }
        #expect(ids == ["p1", "p2", "p3"] + written)
    }

    private func insert(_ ids: [String], at store: TestStore) throws {
        for id in ids {
            try store.sql("INSERT INTO patients(id, fullName) VALUES('\(id)', 'Ana')")
            try store.collect()
        }
    }
}

/// A database file in a directory of its own, opened as a node opens it.
final class FilePlace {
    static let origin = Origin(node: NodeID(high: 0xC11, low: 1))

    let directory: TemporaryDirectory
    /// The node when the file was made.
    let origin: Origin
    var file: URL { self.directory.url.appending(path: "clinic.db") }

    init(_ origin: Origin = FilePlace.origin) throws {
        self.directory = try TemporaryDirectory()
        self.origin = origin
        try SQLiteReplicaStore.create(at: self.file, origin: origin)
    }

    private init(copyOf other: FilePlace) throws {
        self.origin = other.origin
        self.directory = try TemporaryDirectory()
        for name in try FileManager.default.contentsOfDirectory(atPath: other.directory.url.path) {
            try FileManager.default.copyItem(
                at: other.directory.url.appending(path: name),
                to: self.directory.url.appending(path: name)
            )
        }
    }

    /// A copy of the directory by `cp -a`.
    func copy() throws -> FilePlace { try FilePlace(copyOf: self) }

    /// The content of every file.
    func snapshot() throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: self.directory.url.path) {
            files[name] = try Data(contentsOf: self.directory.url.appending(path: name))
        }
        return files
    }

    /// Restores the content of every file in place.
    func restore(_ files: [String: Data]) throws {
        for (name, content) in files {
            try self.write(content, to: self.directory.url.appending(path: name))
        }
    }

    /// Writes a backup over the database, like `cp`.
    func overwrite(with backup: Data) throws { try self.write(backup, to: self.file) }

    private func write(_ content: Data, to url: URL) throws {
        if !FileManager.default.fileExists(atPath: url.path) { try Data().write(to: url) }
        let handle = try FileHandle(forWritingTo: url)
        try handle.truncate(atOffset: 0)
        try handle.write(contentsOf: content)
        try handle.close()
    }

    func insert(_ id: String) throws {
        try Program.sqlite3(self.file, "INSERT INTO patients(id) VALUES ('\(id)');")
    }

    func patients() throws -> [String] {
        let queue = try DatabaseQueue(path: self.file.path)
        return try queue.read { try String.fetchAll($0, sql: "SELECT id FROM patients ORDER BY id") }
    }

    func open(
        machineIDPath: String = StorePlace.machineIDPath,
        bootIDPath: String = StorePlace.bootIDPath,
        _ body: (ReplicaWriter) throws -> Void
    ) throws {
        let place = try StorePlace.of(
            databasePath: self.file.path,
            machineIDPath: machineIDPath,
            bootIDPath: bootIDPath
        )
        let writer = try ReplicaWriter(
            database: try StoreDatabase.open(path: self.file.path),
            origin: self.origin,
            place: place,
            wallClock: { Int64(Date().timeIntervalSince1970 * 1_000) }
        )
        try body(writer)
        try writer.close()
    }

    /// Gives each side everything it lacks.
    func exchange(_ writer: ReplicaWriter, with host: TestStore) throws {
        let reader = try ReplicaReader(beside: writer)
        defer { reader.close() }
        try host.collect()
        let start = try #require(try reader.locate(host.vector))
        let mine = try reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk)
        _ = try host.writer.store(mine, clockOffsetMilliseconds: 0)
        let back = try #require(try host.reader.locate(writer.state().vector))
        let theirs = try host.reader.readLog(after: back, maxBytes: .max).chunks.map(\.chunk)
        let vector = try writer.state().vector
        let lacking = theirs.filter { vector[$0.batch.origin] < $0.batch.sequence }
        _ = try writer.store(lacking, clockOffsetMilliseconds: 0)
    }
}
