import ClinicSyncSimulation
import GRDB

/// The outcomes of the cases, in words.
struct ClinicOutcomes {
    /// One line of the document.
    struct Line: Hashable {
        var first: String
        var second: String
        var outcome: String
        var journal: String
    }

    private let cells: Set<Cell>
    private let rows: Set<String>
    private let counts: [String: Int]
    private let journal: [String: [JournalLine]]

    /// Reads a store that has everything.
    init(_ store: TestStore) throws {
        let cells = try Cell.all(in: store)
        self.cells = cells
        self.rows = Set(cells.map { "\($0.table)/\($0.key)" })
        self.counts = try store.queue.read { db in
            try Row.fetchAll(db, sql: "SELECT id, selectionCount FROM clinic_services")
                .reduce(into: [:]) { $0[$1["id"]] = $1["selectionCount"] }
        }
        self.journal = Dictionary(grouping: try store.journalLines()) { "\($0.table)/\($0.key)" }
    }

    /// A case of two actions on one row.
    func line(_ one: ClinicCase, columns: [String]) -> Line {
        var parts: [String] = []
        switch one.first {
        case .claims: parts.append(self.claimed(one))
        case .adds: parts.append("one row")
        default: parts += self.presence(one)
        }
        if let edits = self.edits(one, columns: columns) { parts.append(edits) }
        if let count = self.counted(one) { parts.append(count) }
        return Line(
            first: one.first.rawValue,
            second: one.second.rawValue,
            outcome: parts.isEmpty ? "nothing to settle" : parts.joined(separator: "; "),
            journal: self.kinds(one.keys.map { "\(one.table)/\($0)" })
        )
    }

    /// A case of a deletion and a reference.
    func line(_ one: ClinicReferenceCase) -> Line {
        let reference = one.reference
        let parent = self.rows.contains("\(reference.parent)/\(one.name)")
        let child = self.rows.contains("\(reference.child)/\(one.name) child")
        let refers = self.cells.contains(
            Cell(table: reference.child, key: "\(one.name) child", column: reference.column, value: one.name)
        )
        let outcome =
            switch (parent, child, refers) {
            case (true, true, true): "the deleted row comes back with its last values; the new row refers to it"
            case (false, true, true): "the deletion stands; the new row keeps its reference"
            case (false, true, false): "the deletion stands; the new row stays, without the reference"
            case (false, false, _): "the deletion stands; the new row goes too"
            default: "the deleted row comes back; the new row does not refer to it"
            }
        let (deletes, adds) = ("deletes the row", "adds a row that refers to it")
        return Line(
            first: one.isDeletedFirst ? deletes : adds,
            second: one.isDeletedFirst ? adds : deletes,
            outcome: outcome,
            journal: self.kinds(["\(reference.parent)/\(one.name)", "\(reference.child)/\(one.name) child"])
        )
    }

    private func kinds(_ rows: [String]) -> String {
        let kinds = Set(rows.flatMap { self.journal[$0] ?? [] }.map(\.kind)).sorted()
        return kinds.isEmpty ? "–" : kinds.map { "`\($0)`" }.joined(separator: ", ")
    }

    private func presence(_ one: ClinicCase) -> [String] {
        guard [one.first, one.second].contains(where: { $0 == .deletes || $0 == .moves }) else { return [] }
        let isThere = self.rows.contains("\(one.table)/\(one.name)")
        let moved = ["a", "b"].count { self.rows.contains("\(one.table)/\(one.name)/\($0)") }
        var parts = [isThere ? "the row stays" : "the row is gone"]
        if moved == 1 { parts.append("it is there under its new id") }
        if moved == 2 { parts.append("it is there under both new ids") }
        return parts
    }

    private func claimed(_ one: ClinicCase) -> String {
        let shown = ["a", "b"].filter { self.rows.contains("\(one.table)/\(one.name)/\($0)") }
        guard shown.count == 2 else { return "one row, the older" }
        let suffixed = self.cells.contains {
            $0.table == one.table && $0.key == "\(one.name)/b" && $0.value.hasPrefix("K \(one.name)~")
        }
        return suffixed ? "both rows; the later shows its key with a suffix" : "both rows"
    }

    private func edits(_ one: ClinicCase, columns: [String]) -> String? {
        let written = zip([one.first, one.second], ["a", "b"]).compactMap { action, pc -> (pc: String, cell: String)? in
            switch action {
            case .edits, .upserts, .adds, .claims: (pc, columns[0])
            case .editsOther, .replaces: (pc, columns[1])
            case .deletes, .moves, .counts: nil
            }
        }
        guard !written.isEmpty else { return nil }
        let shown = written.filter { write in
            self.cells.contains {
                $0.table == one.table && one.keys.contains($0.key) && $0.column == write.cell
                    && $0.value == "\(write.cell) by \(write.pc)"
            }
        }
        let lost = written.filter { write in !shown.contains { $0.pc == write.pc } }
        guard let loser = lost.first else { return written.count == 1 ? "the edit shows" : "both edits show" }
        let isKept = lost.allSatisfy { write in
            one.keys.contains { key in
                self.journal["\(one.table)/\(key)"]?.contains {
                    $0.column == write.cell && $0.value == "\(write.cell) by \(write.pc)"
                } ?? false
            }
        }
        guard isKept else { return "AN EDIT IS LOST" }
        if lost.count == written.count {
            return lost.count == 1 ? "the edit is in the journal" : "both edits are in the journal"
        }
        return loser.pc == "a"
            ? "the later edit shows, the earlier is in the journal"
            : "the earlier edit shows, the later is in the journal"
    }

    private func counted(_ one: ClinicCase) -> String? {
        let counts = [one.first, one.second].count { $0 == .counts }
        guard counts > 0 else { return nil }
        guard let count = self.counts[one.name] else { return "the count goes with the row" }
        return count == counts ? (counts == 1 ? "it is counted" : "both are counted") : "the count shows \(count)"
    }
}
