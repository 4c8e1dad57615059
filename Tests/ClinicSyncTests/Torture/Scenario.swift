import Testing

/// The writes of programs on two or three PCs at the same time, and the result that every PC must show.
struct Scenario: Sendable, CustomTestStringConvertible {
    /// A PC whose programs write.
    enum PC: Int, Sendable, CaseIterable {
        case a, b, c
    }

    /// One step; each step is a second later than the step before.
    enum Step: Sendable {
        /// A program's statements, collected into one batch.
        case does(PC, String)
        /// A program's statements through a connection that enforces foreign keys.
        case enforces(PC, String)
        /// A PC receives everything that another has.
        case hears(PC, from: PC)
    }

    /// A query, and the pattern (GLOB) that its first column must match on every PC.
    ///
    /// Values are joined with a space.
    struct Sight: Sendable {
        let query: String
        let pattern: String
    }

    let name: String
    /// The rows that every PC has at the start.
    let start: String
    let steps: [Step]
    var sights: [Sight] = []
    /// The entries that the journal must have, as patterns of ``JournalLine``; `nil`: not checked.
    var journal: [String]?
    /// The number of references to missing rows that must remain.
    var orphans = 0
    /// Values that need not be found afterwards, because an author who had seen them replaced them.
    var replaced: Set<String> = []

    init(_ name: String, start: String = "", _ steps: Step...) {
        self.init(name, start: start, steps: steps)
    }

    init(_ name: String, start: String, steps: [Step]) {
        self.name = name
        self.start = start
        self.steps = steps
    }

    var testDescription: String { self.name }

    /// Adds the expected result of a query: the values of its first column, joined with a space.
    func shows(_ query: String, _ pattern: String) -> Scenario {
        var scenario = self
        scenario.sights.append(Sight(query: query, pattern: pattern))
        return scenario
    }

    /// Sets the entries that the journal must have, as patterns of whole entries.
    func journal(_ entries: String...) -> Scenario {
        var scenario = self
        scenario.journal = entries
        return scenario
    }

    /// Sets the number of references to missing rows that remain.
    func orphans(_ count: Int) -> Scenario {
        var scenario = self
        scenario.orphans = count
        return scenario
    }

    /// Names values that an author who had seen them replaced.
    func replaced(_ values: String...) -> Scenario {
        var scenario = self
        scenario.replaced.formUnion(values)
        return scenario
    }

    /// The PCs that write.
    var writers: [PC] {
        let all = self.steps.flatMap { step -> [PC] in
            switch step {
            case .does(let pc, _), .enforces(let pc, _): [pc]
            case .hears(let pc, let other): [pc, other]
            }
        }
        return PC.allCases.filter { all.contains($0) || $0 == .a }
    }
}
