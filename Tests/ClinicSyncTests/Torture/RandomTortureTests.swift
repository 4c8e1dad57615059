import Testing

/// Long random histories of three PCs over tables with every rule; the seed is the argument.
@Suite("Torture: random histories")
struct RandomTortureTests {
    /// The seeds from 24 on found faults of repairs.
    static let seeds: [UInt64] = Array(0..<4) + [24, 42, 50]

    @Test("keys that three PCs give out, merge and free again", arguments: Self.seeds)
    func keys(seed: UInt64) throws {
        try self.run(seed: seed, on: TortureSchema.keys.get(), statement: self.keyStatement)
    }

    @Test("references that three PCs make and break", arguments: Self.seeds)
    func references(seed: UInt64) throws {
        try self.run(seed: seed, on: TortureSchema.references.get(), statement: self.referenceStatement)
    }

    /// Half of the seeds also reconcile, with states that come before their changes.
    private func run(
        seed: UInt64,
        on template: StoreTemplate,
        statement: (inout TestRandom) -> String
    ) throws {
        var random = TestRandom(seed: seed)
        let stores = try (1...3).map { try TestStore(UInt64($0), like: template) }
        var history: [String] = []
        for _ in 0..<60 {
            let index = Int.random(in: 0..<3, using: &random)
            let other = Int.random(in: 0..<3, using: &random)
            let store = stores[index]
            store.now += Int64.random(in: -50...100, using: &random)
            switch Int.random(in: 0..<8, using: &random) {
            case 0, 1:
                history.append("\(index + 1) sends to \(other + 1)")
                try store.send(to: stores[other])
            case 2 where seed.isMultiple(of: 2):
                history.append("\(index + 1) merges states of \(other + 1)")
                try store.merge(statesOf: stores[other])
            default:
                let enforces = Bool.random(using: &random) ? "ON" : "OFF"
                let sql = statement(&random)
                let collects = Bool.random(using: &random)
                history.append("\(index + 1) \(collects ? "collects" : "does") \(enforces): \(sql)")
                try store.sql("PRAGMA foreign_keys = \(enforces)")
                // A program does not repeat a statement that a constraint refuses.
                _ = Result { try store.sql(sql) }
                try store.sql("PRAGMA foreign_keys = OFF")
                if collects { try store.collect() }
            }
        }
        try converge(stores)
        // A node that was absent gets everything at once and shows the same.
        let late = try TestStore(7, like: template)
        try late.receive(stores[0].parcels())
        let all = stores + [late]
        try self.compare(all, history) { !$0.hasPrefix("clinicsync_conflict") }
        // A receiver cannot tell whether an author saw a value before the value's change came. So reconciliation
        // compares that part of the journal.
        if seed.isMultiple(of: 2) {
            for store in all { for other in all where other !== store { try store.merge(statesOf: other) } }
        }
        try self.compare(all, history) { _ in true }
        try expectEqual(all)
        for store in all { #expect(try store.column("PRAGMA integrity_check") == ["ok"]) }
    }

    private func compare(_ stores: [TestStore], _ history: [String], _ counts: (String) -> Bool) throws {
        let dump = try stores[0].dump().filter(counts)
        for store in stores.dropFirst() {
            let difference = ScenarioRun.difference(try store.dump().filter(counts), dump)
            let story = history.joined(separator: "\n")
            #expect(difference.isEmpty, "\(store.name) differs:\n\(difference)\nafter\n\(story)")
        }
    }

    private func keyStatement(_ random: inout TestRandom) -> String {
        let id = Int.random(in: 0..<3, using: &random)
        let key = Int.random(in: 0..<2, using: &random)
        let value = Int.random(in: 0..<100, using: &random)
        let (table, column) = [
            ("bill", "number"), ("badge", "number"), ("room", "name"), ("service", "name"), ("login", "name"),
        ][Int.random(in: 0..<5, using: &random)]
        switch Int.random(in: 0..<10, using: &random) {
        case 0, 1: return "INSERT OR IGNORE INTO \(table)(id, \(column)) VALUES ('\(id)', 'k\(key)')"
        case 2: return "INSERT OR REPLACE INTO \(table)(id, \(column)) VALUES ('\(id)', 'k\(key)')"
        case 3: return "UPDATE OR IGNORE \(table) SET \(column) = 'k\(key)' WHERE id = '\(id)'"
        case 4: return "DELETE FROM \(table) WHERE id = '\(id)'"
        case 5: return "UPDATE service SET uses = uses + \(value), price = \(value) WHERE id = '\(id)'"
        case 6: return "UPDATE bill SET info = '\(value)' WHERE id = '\(id)'"
        case 7: return "INSERT OR IGNORE INTO item(id, billId, serviceId) VALUES ('\(value % 4)', '\(id)', '\(key)')"
        case 8:
            return """
                INSERT INTO place(id, day, hour, who) VALUES ('\(id)', '\(key)', '\(value % 2)', '\(value)')
                ON CONFLICT (id) DO UPDATE SET hour = excluded.hour, who = excluded.who
                """
        default:
            return """
                INSERT OR REPLACE INTO ticket(id, number, status)
                VALUES ('\(id)', '\(key)', '\(value % 2 == 0 ? "open" : "closed")')
                """
        }
    }

    private func referenceStatement(_ random: inout TestRandom) -> String {
        let id = Int.random(in: 0..<3, using: &random)
        let other = Int.random(in: 0..<3, using: &random)
        let value = Int.random(in: 0..<100, using: &random)
        let child = ["bill", "visit", "session", "letter", "receipt"][Int.random(in: 0..<5, using: &random)]
        switch Int.random(in: 0..<11, using: &random) {
        case 0, 1: return "INSERT OR IGNORE INTO patient(id, name) VALUES ('\(id)', '\(value)')"
        case 2: return "DELETE FROM patient WHERE id = '\(id)'"
        case 3: return "UPDATE patient SET name = '\(value)', n = n + 1 WHERE id = '\(id)'"
        case 4, 5: return "INSERT OR IGNORE INTO \(child)(id, patientId, info) VALUES ('\(other)', '\(id)', '\(value)')"
        case 6: return "DELETE FROM \(child) WHERE id = '\(other)'"
        case 7: return "UPDATE \(child) SET patientId = '\(id)', info = '\(value)' WHERE id = '\(other)'"
        case 8: return "INSERT OR REPLACE INTO item(id, billId, info) VALUES ('\(id)', '\(other)', '\(value)')"
        case 9:
            return "INSERT OR REPLACE INTO folder(id, parentId, label) VALUES ('\(id)', '\(other)', '\(value)')"
        default: return "DELETE FROM folder WHERE id = '\(id)'"
        }
    }
}
