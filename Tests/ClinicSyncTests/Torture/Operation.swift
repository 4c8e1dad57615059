/// An operation of a program on a row of the small schema of the enumeration.
///
/// Every case has a `thing` and a `part` of it. Their keys begin with the case's name. So one pair of batches carries
/// out thousands of cases, which stay independent of each other.
enum Operation: String, CaseIterable, Sendable {
    case nothing, insertSame, insertEqual, editName, editCode, claimCode, increment, reset, upsert, replace, delete
    case changeKey, addChild, editChild, remake

    /// The tables.
    static let template = TortureSchema.template(
        """
        CREATE TABLE thing(id TEXT PRIMARY KEY NOT NULL, name TEXT, code TEXT UNIQUE, n INTEGER NOT NULL DEFAULT 0);
        CREATE TABLE part(id TEXT PRIMARY KEY NOT NULL, thingId TEXT REFERENCES thing(id) ON DELETE CASCADE, info TEXT);
        """,
        """
        "thing": {"category": "data", "duplicates": {"code": "suffix"}, "counters": ["n"]},
        "part": {"category": "data"}
        """
    )

    /// The rows of a case that all PCs have at the start.
    static func start(_ name: String) -> String {
        """
        INSERT INTO thing(id, name, code, n) VALUES ('\(name)', 'name', 'C:\(name)', 10);
        INSERT INTO part(id, thingId, info) VALUES ('\(name)/part', '\(name)', 'info');
        """
    }

    /// The statements of a PC's program for a case.
    func sql(_ name: String, _ pc: Scenario.PC) -> String {
        let new = "\(name)/\(pc)"
        let value = "\(self)-\(pc):\(name)"
        return switch self {
        case .nothing: ""
        case .insertSame: "INSERT INTO thing(id, name, code) VALUES ('\(name)/new', '\(value)', '\(value)');"
        case .insertEqual: "INSERT INTO thing(id, name, code) VALUES ('\(new)', '\(value)', 'K:\(name)');"
        case .editName: "UPDATE thing SET name = '\(value)' WHERE id = '\(name)';"
        case .editCode: "UPDATE thing SET code = '\(value)' WHERE id = '\(name)';"
        case .claimCode: "UPDATE thing SET code = 'K:\(name)' WHERE id = '\(name)';"
        case .increment: "UPDATE thing SET n = n + \(self.difference(pc)) WHERE id = '\(name)';"
        case .reset: "UPDATE thing SET n = 0 WHERE id = '\(name)';"
        case .upsert:
            """
            INSERT INTO thing(id, name, code, n) VALUES ('\(name)', '\(value)', 'C:\(name)', 10) ON CONFLICT (id)
            DO UPDATE SET name = excluded.name, code = excluded.code, n = excluded.n;
            """
        case .replace:
            "INSERT OR REPLACE INTO thing(id, name, code, n) VALUES ('\(name)', '\(value)', 'C:\(name)', 10);"
        case .delete: "DELETE FROM part WHERE thingId = '\(name)'; DELETE FROM thing WHERE id = '\(name)';"
        case .changeKey:
            """
            UPDATE thing SET id = '\(new)' WHERE id = '\(name)';
            UPDATE part SET thingId = '\(new)' WHERE thingId = '\(name)';
            """
        case .addChild: "INSERT INTO part(id, thingId, info) VALUES ('\(new)/part', '\(name)', '\(value)');"
        case .editChild: "UPDATE part SET info = '\(value)' WHERE id = '\(name)/part';"
        case .remake:
            """
            DELETE FROM thing WHERE id = '\(name)';
            INSERT INTO thing(id, name, code, n) VALUES ('\(name)', '\(value)', '\(value)', 10);
            """
        }
    }

    /// The number that the operation adds to the counter.
    func difference(_ pc: Scenario.PC) -> Int { self == .increment ? [1, 100, 10_000][pc.rawValue] : 0 }

    /// Whether the thing is gone on the PC of the operation.
    var removes: Bool { self == .delete || self == .changeKey }

    /// Whether every PC must show the thing, if the PC that removed it did not know of this operation.
    ///
    /// An edit of the part keeps the row to which the part refers. This is no longer the thing, if an operation
    /// changed the thing's key.
    func keeps(beside others: [Operation]) -> Bool {
        switch self {
        case .editName, .editCode, .claimCode, .increment, .reset, .upsert, .replace, .addChild, .remake: true
        case .editChild: !others.contains(.changeKey)
        case .nothing, .insertSame, .insertEqual, .delete, .changeKey: false
        }
    }

    /// Whether the counter is the sum of differences, because the operation does not make the row again.
    var leavesCounter: Bool { !self.removes && self != .remake && self != .insertEqual && self != .insertSame }
}

/// Operations that PCs carry out at the same time on one row.
struct Collision: Sendable {
    let operations: [Operation]

    /// Operations by name, in the order of the PCs: a key of rows, and a name in messages.
    var name: String { self.operations.map(\.rawValue).joined(separator: "+") }

    /// Every pair, for two PCs.
    static let pairs = Operation.allCases.flatMap { first in
        Operation.allCases.map { Collision(operations: [first, $0]) }
    }

    /// Every `stride`th triple, for three PCs.
    static func triples(stride: Int) -> [Collision] {
        let all = Operation.allCases.flatMap { first in
            Operation.allCases.flatMap { second in
                Operation.allCases.map { Collision(operations: [first, second, $0]) }
            }
        }
        return Swift.stride(from: 0, to: all.count, by: stride).map { all[$0] }
    }

    /// All of them as one scenario: each PC carries out its part of every collision in one batch.
    static func scenario(_ name: String, _ collisions: [Collision], pcs: [Scenario.PC]) -> Scenario {
        let start = collisions.map { Operation.start($0.name) }.joined(separator: "\n")
        let steps = pcs.map { pc in
            let sql = collisions.map { $0.operations[pc.rawValue].sql($0.name, pc) }.joined(separator: "\n")
            return Scenario.Step.does(pc, "BEGIN;\n\(sql)\nCOMMIT")
        }
        return Scenario(name, start: "BEGIN;\n\(start)\nCOMMIT", steps: steps)
    }

    /// Whether the thing must be there in the end.
    var mustRemain: Bool {
        !self.operations.contains(where: \.removes) || self.operations.contains { $0.keeps(beside: self.operations) }
    }

    /// The counter's value in the end; `nil` when the thing is not there, or was made again.
    var count: Int? {
        guard self.operations.allSatisfy(\.leavesCounter) else { return nil }
        // Resets take away what all PCs had before, once.
        let start = self.operations.contains(.reset) ? 0 : 10
        return zip(self.operations, Scenario.PC.allCases).reduce(start) { $0 + $1.0.difference($1.1) }
    }
}
