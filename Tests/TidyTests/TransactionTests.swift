import Testing

/// One file of the store begins, commits and syncs transactions.
@Suite("The one place of transactions")
struct TransactionTests {
    private static let place = "Sources/ClinicSync/Storage/SQLite/WriteTransaction.swift"
    /// The configuration of a connection, which says what holds before its first write transaction.
    private static let configuration = "Sources/ClinicSync/Storage/Transaction/StoreDatabase.swift"

    /// Whether a line of code begins or ends a transaction, or sets its durability.
    private static func isTransaction(_ line: String) -> Bool {
        let line = line.drop { $0 == " " }
        guard !line.hasPrefix("//") else { return false }
        return ["inTransaction(", "\"BEGIN", "\"COMMIT", "\"ROLLBACK", "SAVEPOINT", "wal_checkpoint", "synchronous ="]
            .contains { line.contains($0) }
    }

    @Test("no other file of the store begins, commits or syncs, or sets the durability")
    func onePlace() throws {
        for file in try SourceFile.all(in: ["Sources/ClinicSync/Storage"]) where file.path != Self.place {
            for (number, line) in file.lines.enumerated() where Self.isTransaction(line) {
                if file.path == Self.configuration, line.contains("synchronous =") { continue }
                Issue.record("\(file.path):\(number + 1): a transaction belongs into \(Self.place): \(line)")
            }
        }
    }

    @Test("a transaction is seen where there is one")
    func selfTest() {
        #expect(Self.isTransaction("        try db.inTransaction(.immediate) {"))
        #expect(Self.isTransaction("    try self.execute(\"BEGIN IMMEDIATE\")"))
        #expect(Self.isTransaction("    try db.execute(sql: \"PRAGMA synchronous = FULL\")"))
        #expect(!Self.isTransaction("    // BEGIN would take the lock"))
        #expect(!Self.isTransaction("    try self.transactions.write(.durable) { transaction in"))
    }
}
