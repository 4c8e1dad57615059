import Testing

/// What programs on two or three PCs do at the same time, and what everybody must see afterwards.
struct Scenario: Sendable, CustomTestStringConvertible {
    /// A PC whose programs write.
    enum PC: Int, Sendable, CaseIterable {
        case a, b, c
    }

    /// One thing that happens; each is a second later than the one before.
    enum Step: Sendable {
        /// A program's statements, collected into one batch.
        case does(PC, String)
        /// The same through a connection that enforces foreign keys.
        case enforces(PC, String)
        /// A PC receives everything that another has.
        case hears(PC, from: PC)
    }

    /// A query and the texts that its first column must be like (GLOB) on every PC, joined with a space.
    struct Sight: Sendable {
        let query: String
        let pattern: String
    }

    let name: String
    /// What everybody has at the start.
    let start: String
    let steps: [Step]
    var sights: [Sight] = []
    /// The entries that the journal must have, as patterns of ``JournalLine``; `nil`: not looked at.
    var journal: [String]?
    /// How many references to rows that are not there must be left.
    var orphans = 0
    /// Values that need not be found afterwards, because somebody who saw them replaced them.
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

    /// Adds what a query must give, the values of its first column joined with a space.
    func shows(_ query: String, _ pattern: String) -> Scenario {
        var scenario = self
        scenario.sights.append(Sight(query: query, pattern: pattern))
        return scenario
    }

    /// Says what the journal must have: patterns of whole entries.
    func journal(_ entries: String...) -> Scenario {
        var scenario = self
        scenario.journal = entries
        return scenario
    }

    /// Says how many references to missing rows remain.
    func orphans(_ count: Int) -> Scenario {
        var scenario = self
        scenario.orphans = count
        return scenario
    }

    /// Names values that somebody who saw them replaced.
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
