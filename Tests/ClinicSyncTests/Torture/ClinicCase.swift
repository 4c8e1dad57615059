import ClinicSyncSimulation
import GRDB

/// An action of a program on a row of a clinic's table, for the table in `docs/CONFLICTS.md`.
enum ClinicAction: String, CaseIterable, Sendable {
    case edits = "edits a column"
    case editsOther = "edits another column"
    case upserts = "writes the whole row (upsert), one column changed"
    case replaces = "replaces the whole row, another column changed"
    case deletes = "deletes the row"
    case moves = "changes the row's id"
    case counts = "counts one more"
    case adds = "adds a row under the same id"
    case claims = "adds a row with the same number or name"

    /// Whether the action concerns an existing row.
    var needsRow: Bool { self != .adds && self != .claims }

    /// The statement of a PC for a case; `nil` if the table has no such action.
    func sql(_ rows: ClinicRows, _ table: String, _ name: String, _ pc: Scenario.PC) -> String? {
        let plain = rows.plainColumns(table)
        guard plain.count == 2 else { return nil }
        let row = "\"\(rows.key(table))\" = '\(name)'"
        let one = [plain[0]: "'\(plain[0]) by \(pc)'"]
        let other = [plain[1]: "'\(plain[1]) by \(pc)'"]
        switch self {
        case .edits: return "UPDATE \(table) SET \"\(plain[0])\" = '\(plain[0]) by \(pc)' WHERE \(row);"
        case .editsOther: return "UPDATE \(table) SET \"\(plain[1])\" = '\(plain[1]) by \(pc)' WHERE \(row);"
        case .upserts: return rows.insert(table, key: name, one, upsert: true)
        case .replaces: return rows.insert(table, key: name, other, verb: "INSERT OR REPLACE")
        case .deletes: return "DELETE FROM \(table) WHERE \(row);"
        case .moves: return "UPDATE \(table) SET \"\(rows.key(table))\" = '\(name)/\(pc)' WHERE \(row);"
        case .counts:
            guard table == "clinic_services" else { return nil }
            return "UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE \(row);"
        case .adds: return rows.insert(table, key: name, one)
        case .claims:
            guard let unique = rows.uniqueColumn(table) else { return nil }
            return rows.insert(table, key: "\(name)/\(pc)", one.merging([unique: "'K \(name)'"]) { $1 })
        }
    }
}

/// Two actions at the same time on one row of one table, the first a second earlier.
struct ClinicCase: Sendable {
    let table: String
    let first: ClinicAction
    let second: ClinicAction

    /// The row's id.
    var name: String { "\(self.table) \(self.first) \(self.second)" }

    /// The ids of all rows of the case.
    var keys: [String] { [self.name, "\(self.name)/a", "\(self.name)/b"] }

    /// All cases of all tables.
    static func all(_ rows: ClinicRows) -> [ClinicCase] {
        rows.tables.flatMap { table in
            ClinicAction.allCases.flatMap { first in
                ClinicAction.allCases.compactMap { second in
                    guard first.needsRow == second.needsRow, first.needsRow || first == second,
                        first.sql(rows, table, "", .a) != nil, second.sql(rows, table, "", .b) != nil
                    else { return nil }
                    return ClinicCase(table: table, first: first, second: second)
                }
            }
        }
    }

    /// All cases as one scenario.
    static func scenario(_ cases: [ClinicCase], _ rows: ClinicRows) -> Scenario {
        let start = cases.filter(\.first.needsRow).map { rows.insert($0.table, key: $0.name) }
        func statements(_ pc: Scenario.PC) -> String {
            cases.compactMap { ($0.action(of: pc)).sql(rows, $0.table, $0.name, pc) }.joined(separator: "\n")
        }
        return Scenario(
            "pairs in the thirteen tables",
            start: "BEGIN;\n\(rows.shared)\n\(start.joined(separator: "\n"))\nCOMMIT",
            steps: [Scenario.PC.a, .b].map { .does($0, "BEGIN;\n\(statements($0))\nCOMMIT") }
        )
    }

    private func action(of pc: Scenario.PC) -> ClinicAction { pc == .a ? self.first : self.second }
}

/// A row that one PC deletes while another PC inserts a row that refers to it.
struct ClinicReferenceCase: Sendable {
    let reference: ClinicRows.Reference
    /// Whether the deletion is the earlier of the two.
    let isDeletedFirst: Bool

    /// The parent's id; the child's is the same.
    var name: String { "\(self.reference.child).\(self.reference.column) \(self.isDeletedFirst)" }

    /// The cases of all references.
    static func all(_ rows: ClinicRows) -> [ClinicReferenceCase] {
        rows.references.flatMap { reference in
            [true, false].map { ClinicReferenceCase(reference: reference, isDeletedFirst: $0) }
        }
    }

    /// All cases as one scenario, on connections that enforce foreign keys.
    static func scenario(_ cases: [ClinicReferenceCase], _ rows: ClinicRows) -> Scenario {
        let start = cases.map { rows.insert($0.reference.parent, key: $0.name) }
        func statements(isDeletion: (ClinicReferenceCase) -> Bool) -> String {
            let sql = cases.map { one in
                let reference = one.reference
                return isDeletion(one)
                    ? "DELETE FROM \(reference.parent) WHERE \"\(rows.key(reference.parent))\" = '\(one.name)';"
                    : rows.insert(reference.child, key: "\(one.name) child", [reference.column: "'\(one.name)'"])
            }
            return "BEGIN;\n\(sql.joined(separator: "\n"))\nCOMMIT"
        }
        return Scenario(
            "references between the thirteen tables",
            start: "BEGIN;\n\(rows.shared)\n\(start.joined(separator: "\n"))\nCOMMIT",
            steps: [
                .enforces(.a, statements { $0.isDeletedFirst }),
                .enforces(.b, statements { !$0.isDeletedFirst }),
            ]
        )
    }
}
