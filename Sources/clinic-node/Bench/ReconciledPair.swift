import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import ClinicSyncWire
import Foundation

/// Two stores of which one reconciles with the other: the client's machine is the core's, the host answers as the core does.
final class ReconciledPair {
    /// The messages of a round.
    struct Traffic {
        /// Bytes of all messages but the rows.
        var bytes = 0
        /// Bytes of the messages with rows.
        var rowBytes = 0
        /// Questions that the host answered.
        var roundTrips = 0
        /// The round's result; `nil` when changes were in transit.
        var result: ReconciliationResult?
    }

    /// One of the stores.
    private struct Node {
        let writer: ReplicaWriter
        let writing: WritingExecutor
        let reading: ReadingExecutor

        init(path: String, origin: Origin) throws {
            self.writer = try ReplicaWriter(
                database: StoreDatabase.open(path: path),
                origin: origin,
                storeExtension: ClinicExtension()
            ) { Int64(Date().timeIntervalSince1970 * 1_000) }
            self.writing = WritingExecutor(self.writer, retentionMilliseconds: .max / 2)
            self.reading = ReadingExecutor(try ReplicaReader(beside: self.writer))
        }

        func close() throws {
            self.reading.reader.close()
            try self.writer.close()
        }
    }

    private static let connection = ConnectionID(rawValue: 1)

    private let host: Node
    private let client: Node
    private let hostPath: String
    private let clientPath: String
    private var machine = RoundStateMachine(retriesMax: 0)
    private var traffic = Traffic()
    private var actions: [RoundStateMachine.Action] = []

    /// Makes two empty stores.
    init(_ files: BenchFiles) throws {
        self.hostPath = try files.captured("reconcile-host.db")
        self.clientPath = files.path("reconcile-client.db")
        var generator = SystemRandomNumberGenerator()
        let other = Origin(node: NodeID(using: &generator))
        try SQLiteReplicaStore.create(at: URL(fileURLWithPath: self.clientPath), origin: other)
        self.host = try Node(path: self.hostPath, origin: files.origin)
        self.client = try Node(path: self.clientPath, origin: other)
        _ = try self.host.writer.collectedChunks()
        _ = try self.client.writer.collectedChunks()
    }

    /// Closes the stores.
    func close() throws {
        try self.host.close()
        try self.client.close()
    }

    /// Writes rows at the host, batch by batch, and gives them to the client.
    func fill(_ data: PatientRows, batchRows: Int) throws {
        let program = try ProgramConnection(path: self.hostPath, synchronous: .normal)
        let statement = try program.prepare(PatientRows.insertSQL)
        for start in stride(from: 0, to: data.count, by: batchRows) {
            try program.execute("BEGIN IMMEDIATE")
            try data.insert(start..<min(start + batchRows, data.count), with: statement)
            try program.execute("COMMIT")
            let chunks = try self.host.writer.collectedChunks()
            _ = try self.client.writer.store(chunks, clockOffsetMilliseconds: 0)
        }
        _ = try self.client.writer.applyStored(clockOffsetMilliseconds: 0)
    }

    /// The client loses patients with all that it knows of them, as damage does.
    func lose(_ keys: [String]) throws {
        let program = try ProgramConnection(path: self.clientPath, synchronous: .normal)
        let list = keys.map { "'\($0)'" }.joined(separator: ", ")
        try program.execute(
            """
            BEGIN IMMEDIATE; UPDATE clinicsync_guard SET applying = 1; DELETE FROM patients WHERE id IN (\(list));
            UPDATE clinicsync_guard SET applying = 0;
            DELETE FROM clinicsync_row WHERE tableId = (SELECT id FROM clinicsync_table WHERE name = 'patients')
            AND pk IN (\(list)); COMMIT
            """
        )
        _ = try self.client.writer.sweep(table: "patients", clockOffsetMilliseconds: 0)
    }

    /// Carries out one round.
    func round() throws -> Traffic {
        self.traffic = Traffic()
        self.actions = self.machine.begin(.periodic, table: nil, at: .zero)
        while !self.actions.isEmpty {
            let action = self.actions.removeFirst()
            self.actions += try self.carryOut(action)
        }
        return self.traffic
    }

    private func carryOut(_ action: RoundStateMachine.Action) throws -> [RoundStateMachine.Action] {
        switch action {
        case .measure(let round):
            let report = try self.report(of: self.client, round: round)
            return self.machine.measured(
                round: round,
                vector: report.vector,
                tables: report.tables,
                sum: report.sum
            )
        case .ask(let question):
            let report = try self.report(of: self.host, round: question.round)
            return self.machine.answered(try self.exchange(.digests(question), question.answered(by: report)))
        case .compareRanges(let page):
            guard case .ranged(let step) = self.client.reading.perform(.compareRanges(.question, page)) else {
                throw ReconcileFailure(result: nil)
            }
            return self.machine.ranged(step)
        case .sendRanges(let page):
            let request = StorageRequest.compareRanges(.answer(to: ReconciledPair.connection), page)
            guard case .rangesAnswered(_, let answer) = self.host.reading.perform(request) else {
                throw ReconcileFailure(result: nil)
            }
            self.count([.stateRanges(page), .stateRanges(answer)])
            self.traffic.roundTrips += 1
            return self.machine.received(answer)
        case .sendWants(let wants):
            self.count([.stateWants(wants)])
            return try self.received(.wantedStates(from: ReconciledPair.connection, wants))
        case .sendHashes(let page):
            self.count([.rowHashes(page)])
            return try self.received(.compare(from: ReconciledPair.connection, page))
        case .hash, .gather, .merge, .sendStates: return try self.carryOutRows(action)
        case .finish(let outcome):
            self.traffic.result = outcome.result
            return []
        case .waitForChanges: throw ReconcileFailure(result: nil)
        }
    }

    private func carryOutRows(_ action: RoundStateMachine.Action) throws -> [RoundStateMachine.Action] {
        switch action {
        case .hash(let round, let table, let after, let hasHidden):
            let request = StorageRequest.rowHashes(round: round, table: table, after: after, hasHidden: hasHidden)
            guard case .rowHashes(let page) = self.client.reading.perform(request) else { break }
            return self.machine.hashed(page)
        case .gather(let round, let table, let keys):
            let id = ReconciledPair.connection
            let request = StorageRequest.rowStates(for: id, round: round, table: table, keys: keys)
            guard case .rowStates(_, let pages, let rest) = self.client.reading.perform(request) else { break }
            return self.machine.gathered(pages, rest: rest)
        case .merge(let page, let range):
            let outcome = try self.merge(page, range, into: self.client)
            return self.machine.merged(page, changedRows: outcome.changedRows, aheadKeys: outcome.aheadKeys)
        case .sendStates(let page):
            self.traffic.rowBytes += MessageCodec.encode(.rowStates(page), term: 1).count
            _ = try self.merge(page, .all, into: self.host)
            guard page.isLast else { return [] }
            let receipt = RowStatePage(round: page.round, table: page.table, payload: [], wanted: [], isLast: true)
            self.count([.rowStates(receipt)])
            return self.machine.received(receipt)
        default: break
        }
        throw ReconcileFailure(result: nil)
    }

    private func merge(_ page: RowStatePage, _ range: KeyRange, into node: Node) throws -> MergeOutcome {
        let request = StorageRequest.mergeRows(from: ReconciledPair.connection, page, within: range)
        guard case .rowsMerged(_, _, let outcome) = node.writing.perform(request) else {
            throw ReconcileFailure(result: nil)
        }
        return outcome
    }

    /// The host's rows arrive.
    private func received(_ request: StorageRequest) throws -> [RoundStateMachine.Action] {
        guard case .compared(_, let pages) = self.host.reading.perform(request) else {
            throw ReconcileFailure(result: nil)
        }
        self.traffic.roundTrips += 1
        return pages.flatMap { page in
            self.traffic.rowBytes += MessageCodec.encode(.rowStates(page), term: 1).count
            return self.machine.received(page)
        }
    }

    private func report(of node: Node, round: UInt64) throws -> DigestReport {
        guard
            case .digests(_, let vector, let tables, let sum) = node.reading.perform(.digests(.question(round: round)))
        else { throw ReconcileFailure(result: nil) }
        return DigestReport(round: round, vector: vector, sum: sum, tables: tables)
    }

    private func exchange(_ question: Message, _ answer: DigestReport) throws -> DigestReport {
        self.count([question, .digests(answer)])
        self.traffic.roundTrips += 1
        return answer
    }

    private func count(_ messages: [Message]) {
        for message in messages { self.traffic.bytes += MessageCodec.encode(message, term: 1).count }
    }
}
