/// What programs do to a counter, and a model of what everybody must see afterwards.
///
/// The model knows no merging: it looks at the writes, and at what their authors had seen.
struct CounterModel {
    /// One write of a program.
    enum Write: String, CaseIterable, Sendable {
        case add, text, whole, zero, insert, insertOwn

        /// The writes of a row that is there.
        static let updates: [Write] = [.add, .text, .whole, .zero]
        /// The writes of a row that the PCs insert themselves.
        static let insertions: [Write] = [.add, .zero, .insert, .insertOwn]

        /// The statement.
        func sql(_ name: String, _ pc: Scenario.PC) -> String {
            switch self {
            case .add: "UPDATE thing SET n = n + \(Self.difference(pc)) WHERE id = '\(name)';"
            case .text: "UPDATE thing SET n = '\(pc)' WHERE id = '\(name)';"
            case .whole: "UPDATE thing SET n = 7 WHERE id = '\(name)';"
            case .zero: "UPDATE thing SET n = 0 WHERE id = '\(name)';"
            case .insert: "INSERT OR IGNORE INTO thing(id, n) VALUES ('\(name)', 5);"
            case .insertOwn: "INSERT OR IGNORE INTO thing(id, n) VALUES ('\(name)', \(Self.first(pc)));"
            }
        }

        static func difference(_ pc: Scenario.PC) -> Int { [1, 100, 10_000][pc.rawValue] }
        static func first(_ pc: Scenario.PC) -> Int { 20 + pc.rawValue }
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

    /// What the counter shows at the start; `nil` when the row is not there.
    let start: Int?
    private var events: [Event] = []
    private var known: [Scenario.PC: Set<Int>] = [:]

    init(start: Int?) { self.start = start }

    /// What a PC shows that knows the writes `seen`: the newest value that was set, and what nobody had seen who set one.
    private func value(_ seen: Set<Int>) -> Value? {
        var value = self.start.map(Value.number)
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
        guard let before = self.value(seen) else {
            switch write {
            case .insert: self.note(.set(.number(5)), pc, seen)
            case .insertOwn: self.note(.set(.number(Write.first(pc))), pc, seen)
            case .add, .text, .whole, .zero: break
            }
            return
        }
        var after = before
        switch write {
        case .insert, .insertOwn: break
        case .add: after = .number(before.number + Write.difference(pc))
        case .text: after = .text("\(pc)")
        case .whole: after = .number(7)
        case .zero: after = .number(0)
        }
        guard after != before else { return }
        var effect = Effect.set(after)
        if write != .zero, case .number(let old) = before, case .number(let new) = after { effect = .added(new - old) }
        self.note(effect, pc, seen)
    }

    private mutating func note(_ effect: Effect, _ pc: Scenario.PC, _ seen: Set<Int>) {
        self.events.append(Event(effect: effect, seen: seen))
        self.known[pc, default: []].insert(self.events.count - 1)
    }

    /// Lets a PC know what another knows.
    mutating func hear(_ pc: Scenario.PC, from other: Scenario.PC) {
        self.known[pc, default: []].formUnion(self.known[other] ?? [])
    }

    /// What everybody shows in the end; `nil` when nobody has inserted the row.
    var outcome: Value? { self.value(Set(self.events.indices)) }
}
