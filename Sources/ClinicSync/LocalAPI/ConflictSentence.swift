import ClinicSyncModel

/// Explains a conflict to a receptionist: what happened, why, and what to do, one sentence each, without technical terms.
struct ConflictSentence {
    private let facts: ConflictSummary.Facts

    /// The largest number of characters of a value in a sentence.
    static let valueCharactersMax = 60
    /// The number of digits of an id in a command.
    ///
    /// Twelve digits identify an entry among a million.
    static let idDigits = 12

    init(_ facts: ConflictSummary.Facts) { self.facts = facts }

    // MARK: - What happened

    /// What happened.
    var whatHappened: String {
        switch self.facts.kind {
        case .value: self.lostValue
        case .renamed, .cleared, .parked: self.takenValue
        case .merged: "The same was entered twice in \(self.table): both are shown as one entry."
        case .mergedValue:
            "Two entries in \(self.table) became one, which shows \(self.shown) as its \(self.columnName); "
                + "\(self.writer) had entered \(self.other)."
        case .revived:
            "\(self.writer) deleted an entry in \(self.table) while something was added for it in \(self.relatedTable): "
                + "it is still there."
        case .kept:
            "\(self.writer) deleted an entry in \(self.table) while it was changed somewhere else: it is still there."
        case .overruled:
            "\(self.writer) entered \(self.other) for \(self.place) while that entry was deleted somewhere else: "
                + "it stays deleted."
        case .cascaded:
            "An entry in \(self.table) is not shown, because \(self.writer) deleted the entry in \(self.relatedTable) that it "
                + "belongs to."
        case .detached:
            "The \(self.columnName) of one entry in \(self.table) is empty now, because \(self.writer) deleted what it named."
        case .setAside:
            "An entry in \(self.table) cannot be shown, because what \(self.writer) and others entered for it breaks a rule"
                + (self.facts.other.value == .null ? "." : ": \(self.facts.other.value).")
        case .batch: "\(self.writer) sent changes that no PC can read: they are left out."
        }
    }

    private var lostValue: String {
        guard let current = self.facts.current else {
            if self.standsForRow {
                return "An entry in \(self.table), with \(self.other) as its \(self.columnName), was removed past "
                    + "the clinic's programs: it is deleted on every PC."
            }
            return "\(self.writer) entered \(self.otherAfterOthers) for \(self.place), but that entry was deleted."
        }
        guard current.value != self.facts.other.value else {
            return
                "\(self.writer) entered \(self.otherAfterOthers) for \(self.place), which lost to another value and is shown now."
        }
        guard current.origin != self.facts.other.origin else {
            return
                "\(self.writer) entered \(self.otherAfterOthers) for \(self.place) and somewhere else another value was entered at "
                + "the same time: \(self.shown) is shown now."
        }
        return
            "\(self.writer) and \(ConflictSentence.name(current)) changed \(self.place) without knowing of each other: "
            + "\(self.shown) is shown now, \(self.other) "
            + (self.facts.count > 1 ? "and \(self.others) are not." : "is not.")
    }

    private var takenValue: String {
        let taken = "\(self.other) was taken by an older entry in \(self.relatedTable)"
        guard self.facts.kind != .parked else { return "\(taken); the one that \(self.writer) made is not shown." }
        return "\(taken); this one shows \(self.shown)."
    }

    // MARK: - Why

    /// The rule that decided the conflict.
    var rule: String {
        switch self.facts.kind {
        case .value: "Of two values entered without knowing of each other the later is shown."
        case .renamed: "The oldest entry has the value; the others show it with a suffix until the oldest releases it."
        case .cleared: "The oldest entry has the value; the others show nothing until the oldest releases it."
        case .parked: "The oldest entry has the value; the others are hidden until the oldest releases it."
        case .merged: "Entries that mean the same are shown as one, under the oldest."
        case .mergedValue: "Of entries that became one the newest value of each field is shown."
        case .revived: "An entry to which another entry was added is kept, even when it is deleted at the same time."
        case .kept: "A change that the person who deleted did not know of keeps the entry."
        case .overruled: "In this table a deletion is final; a change made meanwhile does not bring the entry back."
        case .cascaded: "In this table an entry goes with the one it belongs to."
        case .detached: "A field that names a deleted entry is emptied."
        case .setAside: "An entry that breaks a rule of its table is hidden on every PC until it is corrected."
        case .batch: "Changes that cannot be read are left out on every PC, and everything else goes on."
        }
    }

    // MARK: - What to do

    /// Whether ``ConflictChoice/other`` can be kept.
    var canKeepOther: Bool {
        switch self.facts.kind {
        case .value, .mergedValue: self.facts.current != nil || self.standsForRow
        case .overruled, .kept, .revived: true
        case .renamed, .cleared, .parked, .merged, .cascaded, .detached, .setAside, .batch: false
        }
    }

    /// How a person can undo the decision.
    var takeBack: String {
        switch self.facts.kind {
        case .value where self.facts.current == nil && self.standsForRow:
            "To bring the entry back: \(self.command)"
        case .value where self.facts.current?.value == self.facts.other.value:
            "Nothing needs to be done: \(self.other) is shown." + self.whereOthersAre
        case .value, .mergedValue:
            self.facts.current == nil
                ? "The entry is deleted: enter it again if it is needed." + self.whereOthersAre
                : "To show \(self.other) instead: \(self.command)" + self.whereOthersAre
        case .overruled: "To bring the entry back with \(self.other): \(self.command)"
        case .kept, .revived: "To delete the entry after all: \(self.command)"
        case .renamed, .cleared, .parked:
            "Give the older entry (\(self.relatedRow)) another \(self.columnName): then this one gets \(self.other) by itself."
        case .merged:
            "If they are two, change the \(self.columnName) of the one that is shown (\(self.relatedRow)), and enter the other one again."
        case .cascaded:
            "Enter the deleted entry (\(self.relatedRow)) again under its id: then this one comes back by itself."
        case .detached:
            "Choose another entry for the \(self.columnName), or enter the deleted one (\(self.relatedRow)) again under its id."
        case .setAside: "Correct the entry in the clinic's program, or delete it."
        case .batch:
            "Nothing needs to be done, because what that PC shows comes to the others by itself; if it happens again, have the "
                + "PC looked at."
        }
    }

    private var command: String {
        "clinic-node conflicts resolve \(self.shortID) --keep other"
    }

    private var shortID: Substring { self.facts.id.prefix(ConflictSentence.idDigits) }

    /// Whether the entry stands for a whole row that was deleted past the triggers.
    private var standsForRow: Bool { self.facts.kind == .value && self.facts.related == self.facts.row }

    // MARK: - Words

    private var table: String { ConflictSentence.words(self.facts.row.table) }
    private var relatedTable: String { ConflictSentence.words(self.facts.related?.table ?? self.facts.row.table) }
    private var relatedRow: String { self.facts.related.map { "\($0.table)/\($0.recordId)" } ?? "unknown" }
    private var columnName: String { ConflictSentence.words(self.facts.column ?? "content") }
    private var place: String { "the \(self.columnName) of one entry in \(self.table)" }
    private var other: String { ConflictSentence.quote(self.facts.other.value) }
    /// The lost values besides the newest.
    private var others: String { self.facts.count == 2 ? "another value" : "\(self.facts.count - 1) other values" }
    private var otherAfterOthers: String { self.facts.count > 1 ? "\(self.other) after \(self.others)" : self.other }
    private var whereOthersAre: String {
        guard self.facts.count > 1 else { return "" }
        return " (all \(self.facts.count) values: clinic-node conflicts show \(self.shortID))"
    }
    private var shown: String { ConflictSentence.quote(self.facts.current?.value ?? .null) }
    private var writer: String { ConflictSentence.name(self.facts.other) }

    private static func name(_ side: ConflictSummary.Side) -> String {
        side.originName.isEmpty ? "A PC that is no longer known" : side.originName
    }

    private static func quote(_ value: ConflictValue) -> String {
        guard case .text(let text) = value else { return value.description }
        let line = String(text.prefix(self.valueCharactersMax).map { $0.isNewline ? " " : $0 })
        return "“\(line)\(text.count > self.valueCharactersMax ? "…" : "")”"
    }

    /// `contactNumber` and `patient_bills` as words.
    static func words(_ name: String) -> String {
        var words = ""
        var isAfterLower = false
        for character in name {
            if character == "_" {
                words.append(" ")
            } else if character.isUppercase, isAfterLower {
                words.append(" ")
                words += character.lowercased()
            } else {
                words.append(character)
            }
            isAfterLower = character.isLowercase || character.isNumber
        }
        return words
    }
}
