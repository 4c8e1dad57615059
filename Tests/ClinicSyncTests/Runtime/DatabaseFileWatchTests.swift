import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import Testing

@testable import ClinicSync

@Suite("Noticing that the database file is another one", .timeLimit(.minutes(1))) struct DatabaseFileWatchTests {
    @Test("a file that comes to the path between the opening and the first look is another one")
    func early() async throws {
        let directory = try TemporaryDirectory()
        let (origin, file) = (Origin(node: NodeID(high: 1, low: 2)), directory.file("clinic.db"))
        try SQLiteReplicaStore.create(at: file, origin: origin)
        try FileManager.default.copyItem(at: file, to: directory.file("backup.db"))
        let storage = try await StorageService.open(
            StorageService.Opening(
                path: file.path,
                origin: origin,
                retention: .seconds(1),
                wallClock: { 1_800_000_000_000 }
            )
        )
        #expect(DatabaseFileWatch(storage.file).fault == nil)
        try FileManager.default.removeItem(at: file)
        #expect(DatabaseFileWatch(storage.file).fault == .missing)
        try FileManager.default.moveItem(at: directory.file("backup.db"), to: file)
        #expect(DatabaseFileWatch(storage.file).fault == .replaced)
        storage.leaveFile()
        try await storage.close()
    }
}
