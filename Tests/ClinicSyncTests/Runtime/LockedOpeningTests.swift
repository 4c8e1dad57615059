import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import GRDB
import NIOConcurrencyHelpers
import Testing

@testable import ClinicSync

@Suite("A program keeps a write transaction open when the node starts", .timeLimit(.minutes(1)))
struct LockedOpeningTests {
    private let directory: TemporaryDirectory
    private let origin = Origin(node: NodeID(high: 1, low: 2))
    /// The connection of the program that has the lock.
    private let program: DatabaseQueue

    init() throws {
        self.directory = try TemporaryDirectory()
        try SQLiteReplicaStore.create(at: self.directory.file("clinic.db"), origin: self.origin)
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        self.program = try DatabaseQueue(path: self.directory.file("clinic.db").path, configuration: configuration)
        try self.program.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
    }

    private func opening(_ onLocked: @escaping @Sendable () -> Bool) -> StorageService.Opening {
        StorageService.Opening(
            path: self.directory.file("clinic.db").path,
            origin: self.origin,
            retention: .seconds(1),
            wallClock: { 1_800_000_000_000 },
            patience: .milliseconds(300),
            onLocked: { _ in onLocked() }
        )
    }

    @Test("the store waits, says so, and opens when the transaction has ended")
    func waits() async throws {
        let (program, attempts) = (self.program, NIOLockedValueBox(0))
        let storage = try await StorageService.open(
            self.opening {
                let attempt = attempts.withLockedValue { count in
                    count += 1
                    return count
                }
                // The program ends its transaction after the second attempt.
                if attempt == 2 {
                    _ = Result { try program.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") } }
                }
                return true
            }
        )
        #expect(attempts.withLockedValue { $0 } == 2)
        #expect(!storage.lockWatch.isLocked)
        try await storage.close()
    }

    @Test("a start that is given up fails with a sentence that says what to do")
    func givesUp() async throws {
        await #expect(throws: StoreError.locked) { try await StorageService.open(self.opening { false }) }
    }
}
