import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Testing

/// Rounds of a client with a host, both of them stores: the client's machine is the core's, the host answers as the core does.
final class RoundRun {
    private let client: (writing: WritingExecutor, reading: ReadingExecutor)
    private let host: (writing: WritingExecutor, reading: ReadingExecutor)
    private let id = ConnectionID(rawValue: 1)
    private var machine = RoundStateMachine(retriesMax: 0)
    private var actions: [RoundStateMachine.Action] = []
    /// Whether the host is of a version that knows only what tables show.
    var isHostOlder = false
    /// The kinds of the messages of the last round.
    private(set) var messages: [String] = []

    init(client: TestStore, host: TestStore) {
        func executors(_ store: TestStore) -> (WritingExecutor, ReadingExecutor) {
            (WritingExecutor(store.writer, retentionMilliseconds: .max / 2), ReadingExecutor(store.reader))
        }
        self.client = executors(client)
        self.host = executors(host)
    }

    /// Has both sides compare their bookkeeping with themselves, as a manual sync does.
    func sweep() {
        _ = self.host.writing.perform(.sweep(table: nil, .sync(id: 1)))
        _ = self.client.writing.perform(.sweep(table: nil, .sync(id: 1)))
    }

    /// Carries out one round and returns its result.
    func round() throws -> ReconciliationResult? {
        self.messages = []
        self.actions = self.machine.begin(.periodic, table: nil, at: .zero)
        while !self.actions.isEmpty {
            let action = self.actions.removeFirst()
            if case .finish(let outcome) = action { return outcome.result }
            self.actions += try self.carryOut(action)
        }
        Issue.record("the round did not end")
        return nil
    }

    private func carryOut(_ action: RoundStateMachine.Action) throws -> [RoundStateMachine.Action] {
        switch action {
        case .measure(let round):
            let report = try self.report(of: self.client.reading, round)
            return self.machine.measured(
                round: round,
                vector: report.vector,
                tables: report.tables,
                sum: report.sum
            )
        case .ask(let question):
            self.messages.append("digests")
            var report = try self.report(of: self.host.reading, question.round)
            if self.isHostOlder {
                report.sum = nil
                report.tables = report.tables.map { TableDigest(name: $0.name, rows: $0.rows, digest: $0.digest) }
            }
            return self.machine.answered(self.isHostOlder ? report : question.answered(by: report))
        case .compareRanges(let page):
            guard case .ranged(let step) = self.client.reading.perform(.compareRanges(.question, page)) else { break }
            return self.machine.ranged(step)
        case .sendRanges(let page):
            self.messages.append("stateRanges")
            let request = StorageRequest.compareRanges(.answer(to: self.id), page)
            guard case .rangesAnswered(_, let answer) = self.host.reading.perform(request) else { break }
            return self.machine.received(answer)
        case .sendWants(let wants):
            self.messages.append("stateWants")
            return try self.received(.wantedStates(from: self.id, wants))
        case .hash(let round, let table, let after, let hasHidden):
            let request = StorageRequest.rowHashes(round: round, table: table, after: after, hasHidden: hasHidden)
            guard case .rowHashes(let page) = self.client.reading.perform(request) else { break }
            return self.machine.hashed(page)
        case .sendHashes(let page):
            self.messages.append("rowHashes")
            return try self.received(.compare(from: self.id, page))
        case .merge(let page, let range):
            let outcome = try self.merge(page, range, self.client.writing)
            return self.machine.merged(page, changedRows: outcome.changedRows, aheadKeys: outcome.aheadKeys)
        case .gather(let round, let table, let keys):
            let request = StorageRequest.rowStates(for: self.id, round: round, table: table, keys: keys)
            guard case .rowStates(_, let pages, let rest) = self.client.reading.perform(request) else { break }
            return self.machine.gathered(pages, rest: rest)
        case .sendStates(let page):
            self.messages.append("rowStates")
            _ = try self.merge(page, .all, self.host.writing)
            let receipt = RowStatePage(round: page.round, table: page.table, payload: [], wanted: [], isLast: true)
            return page.isLast ? self.machine.received(receipt) : []
        case .waitForChanges, .finish: break
        }
        Issue.record("not carried out: \(action)")
        return []
    }

    private func report(of reading: ReadingExecutor, _ round: UInt64) throws -> DigestReport {
        let reply = reading.perform(.digests(.question(round: round)))
        guard case .digests(_, let vector, let tables, let sum) = reply else {
            Issue.record("no digests: \(reply)")
            return DigestReport(round: round, vector: VersionVector(), tables: [])
        }
        return DigestReport(round: round, vector: vector, sum: sum, tables: tables)
    }

    private func received(_ request: StorageRequest) throws -> [RoundStateMachine.Action] {
        guard case .compared(_, let pages) = self.host.reading.perform(request) else {
            Issue.record("no answer to \(request)")
            return []
        }
        return pages.flatMap { self.machine.received($0) }
    }

    private func merge(_ page: RowStatePage, _ range: KeyRange, _ writing: WritingExecutor) throws -> MergeOutcome {
        var reply = writing.perform(.mergeRows(from: self.id, page, within: range))
        if case .noticed(_, let inner) = reply { reply = inner }
        guard case .rowsMerged(_, _, let outcome) = reply else {
            Issue.record("not merged: \(reply)")
            throw CancellationError()
        }
        return outcome
    }
}
