import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

/// Carries a scenario out, delivers its batches in every order to every PC, and checks the result.
final class ScenarioRun {
    /// The state of a PC that has everything, and the order of its deliveries.
    private struct Final {
        let path: String
        let dump: [String]
        let tables: [TableDigest]
        let vector: VersionVector
    }

    /// The largest number of differences in one message.
    private static let linesMax = 40
    /// The largest number of orders for one PC; most scenarios have fewer.
    private static let ordersMax = 24

    private let scenario: Scenario
    private let location: SourceLocation
    private var stores: [Scenario.PC: TestStore] = [:]
    /// A PC that has the rows of the start and writes nothing.
    private let observer: TestStore
    private var atStart: [StoreSnapshot] = []
    /// The new values in the writers' own tables before the final exchange.
    private var written: Set<Cell> = []
    private var first: Final?

    init(
        _ scenario: Scenario,
        on template: StoreTemplate,
        location: SourceLocation = #_sourceLocation
    ) throws {
        self.scenario = scenario
        self.location = location
        self.observer = try TestStore(9, like: template)
        for pc in scenario.writers { self.stores[pc] = try TestStore(UInt64(pc.rawValue + 1), like: template) }
        if !scenario.start.isEmpty {
            let origin = try self.store(.a)
            try origin.sql(scenario.start)
            for store in self.all where store !== origin { try origin.send(to: store) }
        }
        for store in self.all { store.now += 60_000 }
        self.atStart = try self.all.map { try $0.snapshot() }
    }

    private var writers: [TestStore] { self.scenario.writers.compactMap { self.stores[$0] } }
    private var all: [TestStore] { self.writers + [self.observer] }

    private func store(_ pc: Scenario.PC) throws -> TestStore { try #require(self.stores[pc]) }

    /// Runs the scenario as written.
    ///
    /// Then runs it with PC b's clock behind, and checks only the laws.
    static func check(
        _ scenario: Scenario,
        on template: StoreTemplate,
        location: SourceLocation = #_sourceLocation
    ) throws {
        let run = try ScenarioRun(scenario, on: template, location: location)
        try run.run(skew: 0)
        try run.run(skew: -40_000)
    }

    /// Runs the scenario as written.
    ///
    /// Returns a PC that has everything.
    static func outcome(
        _ scenario: Scenario,
        on template: StoreTemplate,
        location: SourceLocation = #_sourceLocation
    ) throws -> TestStore {
        let run = try ScenarioRun(scenario, on: template, location: location)
        try run.run(skew: 0)
        return run.observer
    }

    /// `skew`: how far PC b's clock is ahead of the others, in milliseconds.
    private func run(skew: Int64) throws {
        for (store, snapshot) in zip(self.all, self.atStart) { try store.rewind(to: snapshot) }
        self.stores[.b]?.now += skew
        self.first = nil
        let before = try Cell.all(in: self.observer)
        for step in self.scenario.steps { try self.take(step) }
        self.written = Set(try self.writers.flatMap { try Cell.all(in: $0).subtracting(before) })
        let parcels = try self.parcels()
        try self.deliverToObserver(parcels)
        for pc in self.scenario.writers { try self.deliver(parcels, to: self.store(pc), "\(pc)") }
        let store = try self.store(.a)
        if skew == 0 { try self.look(at: store) }
        try self.checkConstraints(store)
        try self.checkNothingVanished(store)
        for store in self.all { try store.verify(self.location) }
        try self.checkRepetition(parcels)
        try self.checkReconciliation()
    }

    // MARK: - What happens

    private func take(_ step: Scenario.Step) throws {
        for store in self.all { store.now += 1_000 }
        switch step {
        case .does(let pc, let sql):
            try self.store(pc).sql(sql)
            try self.store(pc).collect()
        case .enforces(let pc, let sql):
            try self.store(pc).program(sql)
            try self.store(pc).collect()
        case .hears(let pc, let other):
            try self.store(other).send(to: self.store(pc))
        }
    }

    private func parcels() throws -> [Parcel] {
        var known: Set<BatchID> = []
        return try self.writers.flatMap { try $0.parcels() }.filter { known.insert($0.id).inserted }
    }

    private func deliver(_ parcels: [Parcel], to store: TestStore, _ name: String) throws {
        let start = try store.snapshot()
        for order in Deliveries.orders(of: parcels, held: try store.vector, limit: Self.ordersMax) {
            try store.rewind(to: start)
            for parcel in order { try store.receive([parcel]) }
            try self.compare(store, "\(name) <- \(order.map(\.description).joined(separator: " "))")
        }
    }

    private func deliverToObserver(_ parcels: [Parcel]) throws {
        let start = try self.observer.snapshot()
        try self.deliver(parcels, to: self.observer, "observer")
        // All batches come in one message, the last batch first. Early batches wait.
        try self.observer.rewind(to: start)
        try self.observer.receive(parcels.reversed())
        try self.compare(self.observer, "observer, all at once")
        // States are merged in another grouping: first those of the last two writers, by one of the two.
        try self.observer.rewind(to: start)
        if let joiner = self.writers.last, let other = self.writers.dropLast().last, let first = self.writers.first {
            let before = try joiner.snapshot()
            try joiner.merge(statesOf: other)
            try self.observer.merge(statesOf: joiner)
            try self.observer.merge(statesOf: first)
            try joiner.rewind(to: before)
        }
        try self.observer.receive(parcels)
        try self.compare(self.observer, "observer, states joined elsewhere")
        // The rows' states come before the changes, as when a reconciliation is faster than the stream.
        try self.observer.rewind(to: start)
        for store in self.writers.reversed() { try self.observer.merge(statesOf: store) }
        try self.observer.receive(parcels)
        try self.compare(self.observer, "observer, states first")
    }

    // MARK: - What must hold

    private func expect(_ condition: Bool, _ comment: @autoclosure () throws -> String) rethrows {
        guard !condition else { return }
        let comment = try comment()
        Issue.record("\(self.scenario.name): \(comment)", sourceLocation: self.location)
    }

    /// All PCs that have everything are equal.
    private func compare(_ store: TestStore, _ path: String) throws {
        let digests = try store.reader.digests()
        let final = Final(path: path, dump: try store.dump(), tables: digests.tables, vector: digests.vector)
        guard let first else {
            self.first = final
            return
        }
        let difference = Self.difference(final.dump, first.dump)
        self.expect(difference.isEmpty, "\(path) has\n\(difference)\n(- is \(first.path))")
        self.expect(final.tables == first.tables, "\(path) has other digests than \(first.path)")
        self.expect(final.vector == first.vector, "\(path) lacks batches")
    }

    static func difference(_ left: [String], _ right: [String]) -> String {
        guard left != right else { return "" }
        let (ours, theirs) = (Set(left), Set(right))
        let more = left.filter { !theirs.contains($0) }.map { "+ \($0)" }
        let lines = more + right.filter { !ours.contains($0) }.map { "- \($0)" }
        let omitted = lines.count > self.linesMax ? ["and \(lines.count - self.linesMax) more"] : []
        return (lines.prefix(self.linesMax) + omitted).joined(separator: "\n")
    }

    private func look(at store: TestStore) throws {
        for sight in self.scenario.sights {
            let text = try store.column(sight.query).joined(separator: " ")
            self.expect(try store.isLike(text, sight.pattern), "\(sight.query) gives '\(text)', not '\(sight.pattern)'")
        }
        guard let expected = self.scenario.journal else { return }
        let lines = try store.journalLines()
        let unexpected = try lines.filter { line in
            try !expected.contains { try store.isLike(line.description, $0) }
        }
        self.expect(unexpected.isEmpty, "the journal also has \(unexpected)")
        for pattern in expected {
            let count = try lines.count { try store.isLike($0.description, pattern) }
            self.expect(count == 1, "the journal has \(count) of '\(pattern)': \(lines)")
        }
    }

    private func checkConstraints(_ store: TestStore) throws {
        let integrity = try store.column("PRAGMA integrity_check")
        self.expect(integrity == ["ok"], "integrity_check says \(integrity)")
        let orphans = try store.column("SELECT \"table\" || ' ' || parent FROM pragma_foreign_key_check")
        self.expect(orphans.count == self.scenario.orphans, "foreign_key_check says \(orphans)")
    }

    private func checkNothingVanished(_ store: TestStore) throws {
        let missing = try Cell.missing(self.written, in: store).filter { !self.scenario.replaced.contains($0.value) }
        self.expect(missing.isEmpty, "\(missing.prefix(Self.linesMax)) neither show nor are in the journal")
    }

    /// A repetition of all deliveries changes nothing.
    private func checkRepetition(_ parcels: [Parcel]) throws {
        for store in self.all {
            let dump = try store.dump()
            let outcome = try store.receive(parcels)
            self.expect(outcome.logged.isEmpty, "\(store.name) logs batches twice")
            self.expect(outcome.events.isEmpty, "\(store.name) tells of a repetition")
            self.expect(try store.collect().logged.isEmpty, "\(store.name) takes a merge for an edit")
            self.expect(try store.dump() == dump, "\(store.name) changes when everything is repeated")
        }
    }

    /// Equal stores repair nothing in each other.
    private func checkReconciliation() throws {
        for (target, source) in zip(self.all, self.all.dropFirst() + self.all.prefix(1)) {
            let dump = try target.dump()
            let vector = try target.vector
            let changed = try target.merge(statesOf: source)
            self.expect(changed.isEmpty, "\(source.name) knows what \(target.name) does not of \(changed)")
            let difference = Self.difference(try target.dump(), dump)
            self.expect(difference.isEmpty, "a reconciliation changes\n\(difference)")
            self.expect(try target.vector == vector, "\(target.name) makes a batch of a reconciliation")
        }
    }
}

extension Parcel: CustomStringConvertible {
    /// `node:number`.
    var description: String { "\(self.id.origin.node.low):\(self.id.sequence)" }
}

extension TestStore {
    /// The node's number, for messages.
    var name: String { "node \(self.origin.node.low)" }

    /// Whether a text matches a pattern of SQLite's GLOB.
    func isLike(_ text: String, _ pattern: String) throws -> Bool {
        try self.queue.read {
            try Bool.fetchOne($0, sql: "SELECT ? GLOB ?", arguments: [text, pattern]) ?? false
        }
    }
}
