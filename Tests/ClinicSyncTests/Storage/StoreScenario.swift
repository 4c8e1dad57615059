import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncSimulation
import ClinicSyncStorage
import Foundation
import GRDB
import Testing

/// What a store goes through, as its core asks it to.
///
/// A request that failed, or that a crash interrupted, is carried out again, as the core does it.
struct StoreScenario {
    /// What programs write, and the request that follows.
    struct Step {
        var sql = ""
        /// Makes the request, as the core would in view of what the store has now; `nil` when there is nothing to ask for.
        var request: (DiskStore) throws -> StorageRequest?

        init(sql: String = "", request: @autoclosure @escaping () -> StorageRequest) {
            self.sql = sql
            self.request = { _ in request() }
        }

        init(sql: String = "", asking request: @escaping (DiskStore) throws -> StorageRequest?) {
            self.sql = sql
            self.request = request
        }
    }

    /// The result when nothing fails.
    struct Result: Equatable {
        var rows: [String]
        /// The authors with the numbers of their newest batches; incarnations after the first have random numbers.
        var batches: [String]
    }

    let steps: [Step]
    /// The disk before the first step.
    private let template: MemoryDisk
    /// What the witness beside the file says, when it is not the one of the template's file.
    private var witness: [UInt8]?

    private static let collect = StorageRequest.collect(clockOffsetMilliseconds: 0)
    private static let peer = ConnectionID(rawValue: 1)
    private static let witnessFile = "clinic.db-numbers"

    /// A disk for one run.
    func disk() throws -> MemoryDisk {
        let disk = try self.template.afterPowerCut(losing: .nothing)
        if let witness { try #require(disk.write(witness, to: StoreScenario.witnessFile)) }
        return disk
    }

    /// The result when nothing fails.
    func reference() throws -> Result {
        let store = try DiskStore(1, on: self.disk(), collects: false)
        for step in self.steps {
            if !step.sql.isEmpty { try store.sql(step.sql) }
            #expect(try StoreScenario.failure(of: step, in: store) == nil)
        }
        return try StoreScenario.result(of: store)
    }

    /// Carries out a step's request.
    ///
    /// - Returns: Why it failed; `nil` when it did not.
    static func failure(of step: Step, in store: DiskStore) throws -> StorageFailure? {
        guard let request = try step.request(store) else { return nil }
        return self.failure(in: self.executor(of: store).perform(request))
    }

    // MARK: - Scenarios

    /// A store collects, applies, sweeps, prunes and corrects stamps.
    static func working() throws -> StoreScenario {
        let other = try TestStore(2)
        func sent(_ sql: String) throws -> StorageRequest {
            let before = try other.vector
            try other.sql(sql)
            try other.collect()
            return self.store(try self.log(of: other, after: before), from: other)
        }
        let first = try sent(
            """
            INSERT INTO patients (id, firstName, lastName) VALUES ('p10', 'Ada', 'B'), ('p11', 'Bea', 'C');
            UPDATE clinic_services SET selectionCount = selectionCount + 2 WHERE id = 'service-urinalysis'
            """
        )
        let second = try sent(
            "UPDATE patients SET lastName = 'D' WHERE id = 'p10'; DELETE FROM patients WHERE id = 'p11'"
        )
        let progress = MemberProgress(
            node: other.origin.node,
            vector: VersionVector([
                .init(origin: Origin(node: TestStore.node(1)), sequence: 2),
                .init(origin: other.origin, sequence: 2),
            ]),
            seenMilliseconds: other.now
        )
        let prune = StorageRequest.prune(self.presence(at: other.now))
        return try StoreScenario(
            steps: [
                Step(
                    sql: """
                        INSERT INTO patients (id, firstName, lastName) VALUES ('p1', 'Eva', 'F'), ('p2', 'Ida', 'G');
                        UPDATE clinic_services SET selectionCount = selectionCount + 3 WHERE id = 'service-urinalysis'
                        """,
                    request: self.collect
                ),
                Step(request: first),
                Step(
                    sql: "UPDATE patients SET firstName = 'Ora' WHERE id = 'p10'; DELETE FROM patients WHERE id = 'p2'",
                    request: self.collect
                ),
                Step(request: second), Step(request: .recordTerm(7)), Step(request: .recordAcknowledged([progress])),
                Step(
                    sql: "UPDATE patients SET lastName = 'H' WHERE id = 'p1'; DELETE FROM clinicsync_dirty",
                    request: .sweep(table: nil, .sync(id: 1))
                ),
                Step(request: prune), Step(request: .restamp(offsetMilliseconds: 0)),
            ],
            template: self.newDisk()
        )
    }

    /// A new node gets the state in place of history while a program writes, installs it, and goes on by the log.
    static func joining() throws -> StoreScenario {
        var limits = StoreLimits()
        limits.pageBytes = 600
        limits.stateAnswerBytes = 1_500
        let other = try TestStore(2, limits: limits)
        for number in 10..<25 {
            try other.sql("INSERT INTO patients (id, firstName) VALUES ('p\(number)', 'Ana \(number)')")
        }
        try other.sql("UPDATE clinic_services SET selectionCount = selectionCount + 2 WHERE id = 'service-urinalysis'")
        try other.collect()
        try other.sql("DELETE FROM patients WHERE id = 'p11'")
        try other.collect()
        let (state, answers) = (try other.vector, try self.answers(of: other))
        #expect(answers.count > 2)
        let ask = Step(asking: { store in
            let known = try store.writer.state()
            guard known.staged?.through == nil, !known.vector.covers(state) else { return nil }
            let answer = try #require(answers.first { $0.after == known.staged?.cursor }?.answer)
            return .stageState(from: self.peer, answer, behind: known.staged?.cursor)
        })
        // What the sender's clinic does meanwhile.
        try other.sql("INSERT INTO patients (id, firstName) VALUES ('p30', 'Later')")
        try other.collect()
        let tail = Step(asking: { store in
            let chunks = try self.log(of: other, after: store.writer.state().vector)
            return chunks.isEmpty ? nil : self.store(chunks, from: other)
        })
        return try StoreScenario(
            steps: [
                Step(
                    sql: """
                        INSERT INTO patients (id, firstName) VALUES ('p1', 'Eva');
                        UPDATE clinic_services SET selectionCount = selectionCount + 3 WHERE id = 'service-urinalysis'
                        """,
                    request: self.collect
                ),
                ask, Step(sql: "UPDATE patients SET firstName = 'Ida' WHERE id = 'p1'", request: self.collect),
            ] + Array(repeating: ask, count: answers.count - 1) + [
                Step(
                    sql: "INSERT INTO patients (id, firstName) VALUES ('p2', 'Ora')",
                    request: .installState(isForced: false)
                ),
                tail, Step(sql: "UPDATE patients SET lastName = 'K' WHERE id = 'p12'", request: self.collect),
                Step(request: .prune(self.presence(at: other.now))),
            ],
            template: self.newDisk()
        )
    }

    /// An older copy of the file is put back: the node goes on under other numbers, and gets back what it had made.
    static func restored() throws -> StoreScenario {
        let (store, other) = (try DiskStore(1), try TestStore(2))
        try store.insert("p1")
        _ = try store.writer.collect(clockOffsetMilliseconds: 0)
        let older = try store.disk.afterPowerCut(losing: .nothing)
        try store.sql(
            """
            UPDATE clinic_services SET selectionCount = selectionCount + 3 WHERE id = 'service-urinalysis';
            INSERT INTO patients (id) VALUES ('p2')
            """
        )
        _ = try store.writer.collect(clockOffsetMilliseconds: 0)
        _ = try other.writer.store(store.logged(by: store.writer), clockOffsetMilliseconds: 0)
        try other.sql("UPDATE patients SET lastName = 'C' WHERE id = 'p2'")
        try other.collect()
        let witness = try #require(store.disk.read(self.witnessFile, count: 4_096))
        try store.close()
        let back = Step(asking: { store in
            let chunks = try self.log(of: other, after: store.writer.state().vector)
            return chunks.isEmpty ? nil : self.store(chunks, from: other)
        })
        return StoreScenario(
            steps: [
                Step(
                    sql: """
                        UPDATE clinic_services SET selectionCount = selectionCount + 5 WHERE id = 'service-urinalysis';
                        INSERT INTO patients (id) VALUES ('p3')
                        """,
                    request: self.collect
                ),
                Step(request: .restamp(offsetMilliseconds: 0)), back,
                Step(sql: "UPDATE patients SET lastName = 'D' WHERE id = 'p2'", request: self.collect),
                Step(request: .sweep(table: nil, .sync(id: 1))),
            ],
            template: older,
            witness: witness
        )
    }

    private static func newDisk() throws -> MemoryDisk {
        let store = try DiskStore(1)
        defer { _ = Swift.Result { try store.close() } }
        return try store.disk.afterPowerCut(losing: .nothing)
    }

    private static func presence(at milliseconds: Int64) -> MemberPresence {
        MemberPresence(
            isHost: true,
            members: [TestStore.node(1), TestStore.node(2)],
            linked: [TestStore.node(2)],
            clinicMilliseconds: milliseconds
        )
    }

    private static func log(of other: TestStore, after vector: VersionVector) throws -> [BatchChunk] {
        let start = try #require(try other.reader.locate(vector))
        return try other.reader.readLog(after: start, maxBytes: .max).chunks.map(\.chunk)
            .filter { vector[$0.batch.origin] < $0.batch.sequence }
    }

    private static func store(_ chunks: [BatchChunk], from other: TestStore) -> StorageRequest {
        .store(from: self.peer, ChunkSender(node: other.origin.node, isHost: true), chunks)
    }

    /// All answers of a store that gives its state, each with the place after which it begins.
    private static func answers(of other: TestStore) throws -> [(after: StateCursor?, answer: StateAnswer)] {
        let receiver = try TestStore(3)
        var answers: [(after: StateCursor?, answer: StateAnswer)] = []
        var staged: StagedState?
        while staged?.through == nil {
            let request = StateRequest(
                id: 1,
                vector: staged?.vector ?? VersionVector(),
                after: staged?.cursor,
                creditBytes: .max
            )
            let answer = try other.reader.statePages(request)
            answers.append((staged?.cursor, answer))
            staged = try receiver.writer.transfers.stage(answer, behind: staged?.cursor)
        }
        return answers
    }

    // MARK: - Running

    static func executor(of store: DiskStore) -> WritingExecutor {
        WritingExecutor(store.writer, retentionMilliseconds: 0)
    }

    /// Why a request failed; `nil` when it did not.
    static func failure(in reply: StorageReply) -> StorageFailure? {
        switch reply {
        case .noticed(_, let reply): self.failure(in: reply)
        case .failed(_, let failure): failure
        default: nil
        }
    }

    /// What a store has, after checking that its bookkeeping agrees with its tables.
    static func result(of store: DiskStore) throws -> Result {
        let (escaped, _) = try store.writer.sweep(table: nil, clockOffsetMilliseconds: 0)
        #expect(escaped == 0, "the bookkeeping does not agree with the tables")
        let rows = try store.program.read { db in
            try ["patients", "clinic_services", "clinicsync_conflict"].flatMap { table in
                // Marks carry SQLite's time, so stamps differ, and with them the ids of entries in the journal.
                let names = try db.columns(in: table).map(\.name)
                    .filter { table != "clinicsync_conflict" || !["id", "timestamp"].contains($0) }
                let columns = names.map { "quote(\"\($0)\")" }.joined(separator: "||'|'||")
                return try String.fetchAll(db, sql: "SELECT '\(table):' || \(columns) FROM \(table) ORDER BY 1")
            }
        }
        let state = try store.writer.state()
        #expect(state.staged == nil && state.partials.isEmpty)
        let batches = state.vector.entries.map { entry in
            "\(entry.origin.node)\(entry.origin.incarnation == 0 ? "" : " later") \(entry.sequence)"
        }
        return Result(rows: rows, batches: batches)
    }

    /// The places of a run that are tried: all when `CLINICSYNC_EVERY_PLACE` is set, otherwise `count` of them.
    static func places(of total: Int, count: Int) -> [Int] {
        guard ProcessInfo.processInfo.environment["CLINICSYNC_EVERY_PLACE"] == nil else {
            return Array(1...max(total, 1))
        }
        return Array(stride(from: 1, through: max(total, 1), by: max(1, total / count)))
    }
}
