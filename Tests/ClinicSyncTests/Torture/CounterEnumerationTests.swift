import GRDB
import Testing

/// All writes of a counter on two and three PCs, one after the other on each PC and at the same time on different ones.
///
/// `ScenarioRun` checks the laws of merging, as in ``EnumerationTests``. Every outcome is compared with ``CounterModel``.
@Suite("Proof by enumeration, counters")
struct CounterEnumerationTests {
    /// The order of the steps.
    enum Course: String, CaseIterable, Sendable {
        /// Two PCs write twice each.
        case apart
        /// The second PC hears the first between the writes.
        case heard
        /// Three PCs write, the first one twice.
        case three

        /// Who writes when; `nil` where the second PC hears the first one.
        fileprivate var writers: [Scenario.PC?] {
            switch self {
            case .apart: [.a, .b, .a, .b]
            case .heard: [.a, .b, nil, .a, .b]
            case .three: [.a, .b, .c, .a]
            }
        }
    }

    @Test("every sequence of writes ends as the model says", arguments: Course.allCases)
    func updates(course: Course) throws {
        // Three PCs have many orders of delivery.
        let writes = CounterModel.Write.updates.filter { course != .three || $0 != .whole }
        try self.prove(course, writes, start: 10)
    }

    @Test("every sequence of insertions and writes ends as the model says", arguments: [Course.apart, .heard])
    func insertions(course: Course) throws { try self.prove(course, CounterModel.Write.insertions, start: nil) }

    private func prove(_ course: Course, _ writes: [CounterModel.Write], start: Int?) throws {
        let cases = Self.sequences(of: writes, course.writers.count { $0 != nil })
        var index = 0
        let steps = course.writers.map { pc -> Scenario.Step in
            guard let pc else { return .hears(.b, from: .a) }
            defer { index += 1 }
            let sql = cases.map { $0[index].sql(Self.name($0), pc) }
            return .does(pc, "BEGIN;\n\(sql.joined(separator: "\n"))\nCOMMIT")
        }
        let rows = start.map { start in
            cases.map { "INSERT INTO thing(id, n) VALUES ('\(Self.name($0))', \(start));" }.joined(separator: "\n")
        }
        let scenario = Scenario(course.rawValue, start: rows.map { "BEGIN;\n\($0)\nCOMMIT" } ?? "", steps: steps)
        let store = try ScenarioRun.outcome(scenario, on: Operation.template.get())
        let shown = try store.queue.read { db in
            try Row.fetchAll(db, sql: "SELECT id, CAST(n AS TEXT) AS n FROM thing").reduce(into: [String: String]()) {
                $0[$1["id"]] = $1["n"]
            }
        }
        for writes in cases {
            var model = CounterModel(start: start)
            var rest = writes[...]
            for pc in course.writers {
                if let pc, let write = rest.popFirst() { model.write(write, pc) } else { model.hear(.b, from: .a) }
            }
            #expect(shown[Self.name(writes)] == model.outcome?.text, "\(course): \(writes.map(\.rawValue))")
        }
    }

    /// All sequences of so many writes.
    private static func sequences(of writes: [CounterModel.Write], _ count: Int) -> [[CounterModel.Write]] {
        guard count > 0 else { return [[]] }
        return self.sequences(of: writes, count - 1).flatMap { rest in writes.map { rest + [$0] } }
    }

    private static func name(_ writes: [CounterModel.Write]) -> String {
        writes.map(\.rawValue).joined(separator: "+")
    }
}
