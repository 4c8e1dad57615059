import ClinicSyncModel
import Foundation
import GRDB
import NIOConcurrencyHelpers
import Testing

@testable import ClinicSyncStorage

@Suite("Waiting for a program's write transaction", .timeLimit(.minutes(1)))
struct LockWaitTests {
    /// Decides by a list of answers; what happens besides is in ``events``.
    private final class Patience: LockWait {
        let answers: NIOLockedValueBox<[Bool]>
        let events = NIOLockedValueBox<[String]>([])
        private let meanwhile: @Sendable () -> Void

        init(_ answers: [Bool], meanwhile: @escaping @Sendable () -> Void = {}) {
            self.answers = NIOLockedValueBox(answers)
            self.meanwhile = meanwhile
        }

        func goesOn() -> Bool {
            self.events.withLockedValue { $0.append("held") }
            self.meanwhile()
            return self.answers.withLockedValue { $0.isEmpty ? false : $0.removeFirst() }
        }

        func ended() { self.events.withLockedValue { $0.append("ended") } }
    }

    private let directory: TemporaryDirectory
    private let path: String
    /// A program's connection.
    private let program: DatabaseQueue

    init() throws {
        self.directory = try TemporaryDirectory()
        let file = self.directory.file("clinic.db")
        self.path = file.path
        try SQLiteReplicaStore.create(at: file, origin: Origin(node: NodeID(high: 1, low: 1)))
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        self.program = try DatabaseQueue(path: file.path, configuration: configuration)
    }

    /// Writes while the program, whose transaction began after the store was opened, has the lock.
    private func write(_ patience: Patience) throws {
        let transactions = try Transactions(try StoreDatabase.open(path: self.path, lockWait: patience))
        try self.program.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        try transactions.write { transaction in
            try transaction.statement("DELETE FROM patients").run()
            return .relaxed
        }
        try transactions.close()
    }

    @Test("a write goes on as long as it is told to, and says when it has the lock")
    func waits() throws {
        let program = self.program
        let patience = Patience([true, true]) {
            // The second time the program ends its transaction.
            _ = Result { try program.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") } }
        }
        try self.write(patience)
        #expect(patience.events.withLockedValue { $0 } == ["held", "ended"])
    }

    @Test("a write that is told to give up fails, and says what to do")
    func givesUp() throws {
        let patience = Patience([true, false])
        #expect(throws: StoreError.locked) { try self.write(patience) }
        #expect(patience.events.withLockedValue { $0 } == ["held", "held"])
    }
}
