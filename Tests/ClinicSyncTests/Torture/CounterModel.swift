/// What programs do to a counter that shows 10 on every PC, and a model of what everybody must see afterwards.
///
/// The model knows no merging: it looks at the writes, and at what their authors had seen.
struct CounterModel {
    /// One write of a program.
    enum Write: String, CaseIterable, Sendable {
        case nothing, add, text, whole

        /// The statement.
        func sql(_ name: String, _ pc: Scenario.PC) -> String {
            switch self {
            case .nothing: ""
            case .add: "UPDATE thing SET n = n + \(Self.difference(pc)) WHERE id = '\(name)';"
            case .text: "UPDATE thing SET n = '\(pc)' WHERE id = '\(name)';"
            case .whole: "UPDATE thing SET n = 7 WHERE id = '\(name)';"
            }
        }

        static func difference(_ pc: Scenario.PC) -> Int { [1, 100, 10_000][pc.rawValue] }
    }

    /// What the counter shows.
    enum Value: Hashable {
        case number(Int)
        case text(String)

        /// The value as SQLite shows it in a text.
        var text: String {
            switch self {
            case .number(let number): "\(number)"
            case .text(let text): text
            }
        }

        /// What SQLite adds to.
        var number: Int {
            if case .number(let number) = self { number } else { 0 }
        }
    }

    private enum Effect {
        case added(Int)
        case set(Value)
    }

    /// A write, with the numbers of the writes that its author had seen.
    private struct Event {
        var effect: Effect
        var seen: Set<Int>
    }

    private var events: [Event] = []
    private var known: [Scenario.PC: Set<Int>] = [:]

    /// What a PC shows that knows the writes `seen`: the newest value that was set, and what nobody had seen who set one.
    private func value(_ seen: Set<Int>) -> Value {
        var value = Value.number(10)
        var covered: Set<Int> = []
        for number in seen.sorted() {
            guard case .set(let new) = self.events[number].effect else { continue }
            value = new
            covered.formUnion(self.events[number].seen)
        }
        guard case .number(var sum) = value else { return value }
        for number in seen.subtracting(covered) {
            if case .added(let difference) = self.events[number].effect { sum += difference }
        }
        return .number(sum)
    }

    /// Carries out a write.
    mutating func write(_ write: Write, _ pc: Scenario.PC) {
        let seen = self.known[pc] ?? []
        let before = self.value(seen)
        var after = before
        switch write {
        case .nothing: return
        case .add: after = .number(before.number + Write.difference(pc))
        case .text: after = .text("\(pc)")
        case .whole: after = .number(7)
        }
        guard after != before else { return }
        var effect = Effect.set(after)
        if case .number(let old) = before, case .number(let new) = after { effect = .added(new - old) }
        self.events.append(Event(effect: effect, seen: seen))
        self.known[pc, default: []].insert(self.events.count - 1)
    }

    /// Lets a PC know what another knows.
    mutating func hear(_ pc: Scenario.PC, from other: Scenario.PC) {
        self.known[pc, default: []].formUnion(self.known[other] ?? [])
    }

    /// What everybody shows in the end.
    var outcome: Value { self.value(Set(self.events.indices)) }
}
