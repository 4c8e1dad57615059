import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

@testable import ClinicSync

@Suite("Bringing the whole clinic back to a backup")
struct WholeClinicTests {
    private let epoch: Epoch

    init() throws { self.epoch = try Epoch.of(1, by: FilePlace.origin.node) }

    /// A place with a patient in a backup and another one since, and a node that has both.
    private func place(_ origin: Origin = FilePlace.origin, meeting former: TestStore) throws -> (FilePlace, URL) {
        let pc = try FilePlace(origin)
        let backup = pc.directory.file("backup.db")
        try pc.insert("before")
        try pc.meet(former)
        try pc.backUp(to: backup)
        try pc.insert("after")
        try pc.meet(former)
        return (pc, backup)
    }

    @Test("the deciding node has the backup alone, under the new epoch and other numbers; the former file has all")
    func begins() throws {
        let former = try TestStore(9)
        let (pc, backup) = try self.place(meeting: former)
        try pc.insert("not collected")
        let outcome = try pc.restoration.begin(self.epoch, with: BackupFile(path: backup.path))
        #expect(outcome.lost == nil && outcome.unshared == 3 && outcome.batches == 0)
        #expect(try pc.patients() == ["before"])
        #expect(try FileEpoch(path: pc.file.path).read() == self.epoch)
        let aside = try #require(outcome.aside)
        #expect(try Program.sqlite3(URL(filePath: aside), "SELECT count(*) FROM patients") == "3")
        #expect(try FileEpoch(path: aside).read() == nil)
        try pc.open { #expect($0.origin != FilePlace.origin) }
        #expect(try pc.patients() == ["before"])
    }

    @Test("a node that follows has what the new epoch has; its former file is merged when a person asks for it")
    func follows() throws {
        let (former, next) = (try TestStore(9), try TestStore(8))
        let (first, backup) = try self.place(meeting: former)
        let second = try FilePlace(Origin(node: TestStore.node(77)))
        try second.meet(former)
        try second.insert("of the second alone")
        _ = try first.restoration.begin(self.epoch, with: BackupFile(path: backup.path))
        try first.meet(next)
        let outcome = try second.restoration.follow(self.epoch)
        #expect(outcome.unshared == 1 && outcome.lost == nil)
        let aside = try #require(outcome.aside)
        #expect(try second.patients() == [])
        #expect(try FileEpoch(path: second.file.path).read() == self.epoch)
        try second.insert("of the new epoch")
        try second.meet(next) { #expect($0.origin != second.origin) }
        #expect(try second.patients() == ["before", "of the new epoch"])
        // A person wants back what was entered after the backup.
        let restored = try second.restore(URL(filePath: aside))
        #expect(restored.lost == nil)
        let all = ["after", "before", "of the new epoch", "of the second alone"]
        #expect(try second.patients() == all)
        #expect(try FileEpoch(path: second.file.path).read() == self.epoch)
        try second.meet(next)
        try first.meet(next)
        #expect(try first.patients() == all)
        #expect(try next.value(Int.self, "SELECT count(*) FROM patients") == all.count)
        try next.verify()
    }

    @Test("a restore or rebuild keeps the epoch of the database; one that cannot say its epoch has the greatest known")
    func keepsEpoch() throws {
        let former = try TestStore(9)
        let (pc, backup) = try self.place(meeting: former)
        let file = FileEpoch(path: pc.file.path)
        try file.set(self.epoch)
        try pc.restore(backup)
        #expect(try file.read() == self.epoch)
        try pc.overwrite(with: Data("damaged".utf8))
        let restoration = FileRestore(
            path: pc.file.path,
            node: pc.origin.node,
            exclusions: ClinicBackup.exclusions,
            epoch: self.epoch
        ) { FilePlace.now }
        _ = try restoration.rebuild()
        #expect(try file.read() == self.epoch)
    }

    @Test("the rows that the clinic would not show any more are counted by table")
    func counts() throws {
        let pc = try FilePlace()
        let backup = pc.directory.file("backup.db")
        for id in ["same", "changed", "deleted"] { try pc.insert(id) }
        try pc.backUp(to: backup)
        let comparison = FileComparison(
            database: pc.file.path,
            backup: backup.path,
            exclusions: ClinicBackup.exclusions
        )
        #expect(try comparison.tables() == [])
        try Program.sqlite3(
            pc.file,
            """
            DELETE FROM patients WHERE id = 'deleted'; UPDATE patients SET fullName = 'Ana' WHERE id = 'changed';
            INSERT INTO patients(id) VALUES ('new 1'), ('new 2'); INSERT INTO users(id, username) VALUES ('u1', 'ana')
            """
        )
        try pc.open { _ = try $0.collect(clockOffsetMilliseconds: 0) }
        let tables = try comparison.tables()
        let patients = try #require(tables.first { $0.name == "patients" })
        #expect(patients.added == 2 && patients.changed == 1 && patients.deleted == 1)
        #expect(tables.map(\.name).contains("users"))
    }

    // MARK: - At the start of a node

    private func state(
        _ pc: FilePlace,
        greatest: Epoch?,
        hasOthers: Bool = true,
        kept: Epoch? = nil
    ) throws -> EpochState {
        var opening = StorageService.Opening(
            path: pc.file.path,
            origin: pc.origin,
            retention: .seconds(1),
            wallClock: { FilePlace.now }
        )
        opening.mayRebuild = hasOthers
        opening.epochs = EpochKnowledge(
            greatest: { greatest },
            verified: { $0 },
            keep: { #expect($0 == kept) }
        )
        return try EpochStep(opening, attempts: 2).take()
    }

    @Test("at its start a node follows the greatest epoch that it knows, and then does not again")
    func start() throws {
        let pc = try FilePlace()
        #expect(try self.state(pc, greatest: nil).data == nil)
        try pc.insert("before")
        let state = try self.state(pc, greatest: self.epoch)
        #expect(state.data == self.epoch && state.followed?.epoch == self.epoch && !state.isHeld)
        #expect(state.followed?.outcome.unshared == 1)
        #expect(try pc.patients() == [])
        try pc.insert("later")
        let next = try self.state(pc, greatest: self.epoch, kept: self.epoch)
        #expect(next.data == self.epoch && next.followed == nil)
        #expect(try pc.patients() == ["later"])
    }

    /// Damage to what the data says of its epoch.
    private static let damages = [
        "DELETE FROM clinicsync_setting WHERE name = 'epoch'",
        "UPDATE clinicsync_setting SET value = x'00' WHERE name = 'epoch'", "DELETE FROM clinicsync_setting",
    ]

    @Test(
        "data whose epoch a program or the disk removed is not taken for former data, data of a time before is",
        arguments: damages
    )
    func lostEpoch(damage: String) throws {
        let pc = try FilePlace()
        try pc.insert("before")
        let former = pc.directory.file("former.db")
        try pc.backUp(to: former)
        #expect(try self.state(pc, greatest: self.epoch).followed != nil)
        try pc.insert("later")
        try pc.open { FileEpoch(path: pc.file.path).note(self.epoch, incarnation: $0.origin.incarnation) }
        try Program.sqlite3(pc.file, damage)
        let state = try self.state(pc, greatest: self.epoch, kept: self.epoch)
        #expect(state.data == self.epoch && state.followed == nil)
        #expect(try pc.patients() == ["later"])
        #expect(try FileEpoch(path: pc.file.path).read() == self.epoch)
        // An old file that was put back does not know the incarnation.
        try Program.sqlite3(pc.file, ".restore '\(former.path)'")
        #expect(try pc.patients() == ["before"])
        #expect(try self.state(pc, greatest: self.epoch).followed != nil)
    }

    @Test("a rebuild keeps the epoch of data that cannot say it any more, and a file with dropped tables is not unused")
    func lostEpochOfRebuild() throws {
        let pc = try FilePlace()
        try pc.insert("one")
        let file = FileEpoch(path: pc.file.path)
        try file.set(self.epoch)
        try pc.open { file.note(self.epoch, incarnation: $0.origin.incarnation) }
        try Program.sqlite3(pc.file, "DELETE FROM clinicsync_setting WHERE name = 'epoch'")
        _ = try pc.restoration.rebuild()
        #expect(try file.read() == self.epoch)
        #expect(try pc.patients() == ["one"])
        for damage in [
            "DROP TABLE clinicsync_origin; DELETE FROM clinicsync_row", "UPDATE clinicsync_origin SET sequence = 0",
        ] {
            let other = try FilePlace()
            try other.insert("former")
            try other.open { _ = try $0.collect(clockOffsetMilliseconds: 0) }
            try Program.sqlite3(other.file, "DELETE FROM clinicsync_log; DELETE FROM clinicsync_dirty; \(damage)")
            #expect(try !FileEpoch(path: other.file.path).begin(self.epoch))
        }
    }

    @Test("the file is not exchanged while a program has it open, and the node goes on with what it has")
    func held() throws {
        let pc = try FilePlace()
        try pc.insert("before")
        let program = try DatabaseQueue(path: pc.file.path)
        #expect(try program.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM patients") } == 1)
        let state = try self.state(pc, greatest: self.epoch)
        #expect(state.isHeld && state.data == nil && state.followed == nil)
        #expect(try program.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM patients") } == 1)
        try program.close()
        #expect(try self.state(pc, greatest: self.epoch).followed != nil)
    }

    @Test("a file without rows gets the epoch as it is, and so does the only file that is left of a clinic")
    func inPlace() throws {
        let new = try FilePlace()
        let joined = try self.state(new, greatest: self.epoch)
        #expect(joined.data == self.epoch && joined.followed == nil)
        let only = try FilePlace()
        try only.insert("before")
        let state = try self.state(only, greatest: self.epoch, hasOthers: false)
        #expect(state.data == self.epoch && state.followed == nil)
        #expect(try only.patients() == ["before"])
        for pc in [new, only] { #expect(try FileEpoch(path: pc.file.path).read() == self.epoch) }
    }
}
