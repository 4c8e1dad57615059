import ClinicSyncModel
import Testing

@testable import ClinicSyncStorage

@Suite("Write transactions")
struct WriteTransactionTests {
    private struct Failure: Error {}

    /// A part that keeps a number in memory.
    private final class Counter: TransactionPart {
        var value = 0
        var commits = 0

        func memory() -> () -> Void {
            let saved = self.value
            return { self.value = saved }
        }

        func didCommit() { self.commits += 1 }
    }

    private let store: TestStore
    private let counter = Counter()
    private var transactions: Transactions { self.store.writer.transactions }

    init() throws {
        self.store = try TestStore(1)
        try self.store.sql("CREATE TABLE scratch (n INTEGER)")
        // The store is to take the change of the schema for its own: without this, each transaction has it read again.
        self.transactions.expectSchema(try self.transactions.read { try Transactions.schemaVersion(on: $0) })
        self.transactions.add(self.counter)
    }

    private var rows: Int? { get throws { try self.store.value(Int.self, "SELECT count(*) FROM scratch") } }

    /// Writes a row and counts it.
    private func insert(in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("INSERT INTO scratch VALUES (1)").run()
        self.counter.value += 1
    }

    @Test("a relaxed transaction whose end is durable runs again as a durable one; its first run leaves nothing")
    func restartedByItsEnd() throws {
        var runs: [Bool] = []
        try self.transactions.write { transaction in
            runs.append(transaction.isDurable)
            try self.insert(in: transaction)
            return .durable
        }
        #expect(runs == [false, true])
        #expect(try self.rows == 1)
        #expect(self.counter.value == 1)
        #expect(self.counter.commits == 1)
    }

    @Test("a relaxed transaction that logs an own batch runs again as a durable one, whatever its end says")
    func restartedByAPart() throws {
        try self.store.sql("INSERT INTO patients (id, firstName, lastName) VALUES ('p1', 'Ada', 'B')")
        var runs: [Bool] = []
        let logged = try self.transactions.write { transaction in
            runs.append(transaction.isDurable)
            var events = EventCollector(isLocal: true)
            let collector = self.store.writer.collecting.collector
            return .relaxed(try collector.collectAll(offset: 0, events: &events, in: transaction))
        }
        #expect(runs == [false, true])
        #expect(logged.map(\.chunk.batch.sequence) == [1])
        #expect(try self.store.vector[self.store.origin] == 1)
    }

    @Test("a transaction that fails leaves neither rows nor memory")
    func failed() throws {
        #expect(throws: Failure.self) {
            try self.transactions.write { transaction -> Ending<Void> in
                try self.insert(in: transaction)
                throw Failure()
            }
        }
        #expect(try self.rows == 0)
        #expect(self.counter.value == 0)
        #expect(self.counter.commits == 0)
    }

    @Test("a savepoint that fails leaves what was before it")
    func savepoint() throws {
        try self.transactions.write { transaction in
            try self.insert(in: transaction)
            do {
                try self.transactions.savepoint(in: transaction) {
                    try self.insert(in: transaction)
                    throw Failure()
                }
            } catch is Failure {}
            return .relaxed
        }
        #expect(try self.rows == 1)
        #expect(self.counter.value == 1)
    }
}
