import CAllocationCount
import ClinicSyncCore
import ClinicSyncModel
import GRDB
import GRDBSQLite

/// What a piece of work costs, in counts that do not depend on the machine's speed.
struct Work: Equatable {
    /// What is counted.
    enum Unit: String, CaseIterable {
        /// Statements of SQL, those of triggers within their statement.
        case statements
        /// Instructions of SQLite's virtual machine.
        case steps
        /// Blocks of memory that were allocated or resized, SQLite's included.
        case allocations
        /// Messages to peers, one for each receiver.
        case messages
        /// Bytes of encoded messages or of batches.
        case bytes

        /// How much more than recorded is still the same, as a part: other versions of SQLite and Swift, and the order of
        /// elements in sets and dictionaries, change a little.
        var tolerance: Double {
            switch self {
            case .statements, .messages, .bytes: 0.02
            case .steps: 0.05
            case .allocations: 0.1
            }
        }
    }

    /// What was done, and how often.
    let name: String
    /// The counts.
    let counts: [Unit: Int]

    /// Counts the allocations of `body`.
    static func allocations<Result>(_ body: () throws -> Result) rethrows -> (result: Result, count: Int) {
        let before = allocation_count()
        let result = try body()
        return (result, Int(allocation_count() - before))
    }
}

extension TestStore {
    /// Counts what `body` does in this store.
    func work(_ body: () throws -> Void) throws -> [Work.Unit: Int] {
        let count = StatementCount()
        self.queue.inDatabase { db in
            guard let connection = db.sqliteConnection else { return }
            count.begin(on: connection)
        }
        let (_, allocations) = try Work.allocations(body)
        self.queue.inDatabase { _ = sqlite3_trace_v2($0.sqliteConnection, 0, nil, nil) }
        return [.statements: count.statements, .steps: count.steps, .allocations: allocations]
    }
}

/// Counts a connection's statements as they end.
private final class StatementCount {
    private(set) var statements = 0
    private(set) var steps = 0

    /// Counts from now on until another trace is set; the connection calls on the thread that uses it.
    func begin(on connection: OpaquePointer) {
        // What statements did before is not counted.
        var statement = sqlite3_next_stmt(connection, nil)
        while let pointer = statement {
            sqlite3_stmt_status(pointer, SQLITE_STMTSTATUS_VM_STEP, 1)
            statement = sqlite3_next_stmt(connection, pointer)
        }
        sqlite3_trace_v2(
            connection,
            UInt32(SQLITE_TRACE_PROFILE),
            { _, context, statement, _ in
                guard let context, let statement else { return 0 }
                let count = Unmanaged<StatementCount>.fromOpaque(context).takeUnretainedValue()
                count.statements += 1
                count.steps += Int(sqlite3_stmt_status(OpaquePointer(statement), SQLITE_STMTSTATUS_VM_STEP, 1))
                return 0
            },
            Unmanaged.passUnretained(self).toOpaque()
        )
    }
}
