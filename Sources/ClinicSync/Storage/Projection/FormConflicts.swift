import ClinicSyncCore
import ClinicSyncModel

/// Derives the journal's entries from rows' forms.
struct FormConflicts {
    let facts: RowFacts

    /// The entries about a row that follow from the states, the same on every node.
    ///
    /// - Parameters:
    ///   - row: the row.
    ///   - subject: the row as the store knows it.
    ///   - form: the row's form.
    ///   - refusal: what the constraint said that refuses the row, if one does.
    /// - Returns: The entries.
    /// - Throws: what SQLite reports.
    func conflicts(
        _ row: RowName,
        _ subject: Subject,
        _ form: RowFacts.Form,
        refusal: String?
    ) throws -> [Conflict] {
        var entries = try self.lifeConflicts(row, subject, form)
        func add(
            _ kind: ConflictKind,
            slot: Int? = nil,
            value: SQLiteValue = .null,
            version: Version,
            related: RowName? = nil
        ) {
            entries.append(self.conflict(kind, row, slot: slot, value: value, version: version, related: related))
        }
        switch form {
        case .deleted: break
        case .hidden(.merged):
            let owner = try self.facts.mergedInto(row)
            add(.merged, version: subject.state.birth, related: owner)
            if let owner { entries += try self.mergedValues(row, subject, shownBy: owner) }
        case .hidden(.parked):
            for (rule, owner) in try self.taken(row, subject) where rule.policy == .park {
                let register = subject.state.registers[rule.lastSlot]
                add(
                    .parked,
                    slot: rule.lastSlot,
                    value: register?.value ?? .null,
                    version: register?.version ?? subject.state.birth,
                    related: owner
                )
            }
        case .hidden(.cascaded):
            let reference = try self.cascadingReference(of: subject)
            let register = reference.flatMap { subject.state.registers[$0.slot] }
            add(
                .cascaded,
                slot: reference?.slot,
                value: register?.value ?? .null,
                version: register?.version ?? subject.state.birth,
                related: reference.flatMap { self.facts.parent(of: subject, $0) }
            )
        case .hidden(.setAside):
            let reason = refusal.map(SQLiteValue.string) ?? .null
            add(.setAside, value: reason, version: subject.state.birth)
        case .hidden: break
        case .shown(let shown):
            for (rule, owner) in shown.taken {
                let slot = rule.lastSlot
                let own = try self.facts.display(row)?.values[slot] ?? .null
                add(
                    rule.policy == .null ? .cleared : .renamed,
                    slot: slot,
                    value: own,
                    version: shown.registers[slot]?.version ?? subject.state.birth,
                    related: owner
                )
            }
            for slot in (try self.facts.display(row)?.detached ?? 0).setBits {
                guard let register = subject.state.registers[slot] else { continue }
                let reference = subject.plan.references.first { $0.slot == slot }
                let parent = reference.flatMap { self.facts.parent(of: subject, $0) }
                add(.detached, slot: slot, value: register.value, version: register.version, related: parent)
            }
            entries += try self.mergedValues(row, subject, shownBy: row)
        }
        return entries
    }

    /// The reference that takes the row along with the row that it refers to, if one does.
    private func cascadingReference(of subject: Subject) throws -> ReferenceRule? {
        try subject.plan.references.first { reference in
            guard let parent = self.facts.parent(of: subject, reference) else { return false }
            return try reference.policy == .cascade && !self.facts.isPresent(parent)
                || reference.policy == .revive && self.facts.isCascaded(parent)
        }
    }

    private func conflict(
        _ kind: ConflictKind,
        _ row: RowName,
        slot: Int? = nil,
        value: SQLiteValue = .null,
        version: Version,
        related: RowName? = nil
    ) -> Conflict {
        let plan = self.facts.plan(row)
        return Conflict(
            kind: kind,
            table: plan?.definition.name ?? "",
            key: row.key,
            column: slot.flatMap { plan?.names[$0] },
            value: value,
            version: version,
            related: related.flatMap { other in
                self.facts.plan(other).map { Conflict.Reference(table: $0.definition.name, key: other.key) }
            }
        )
    }

    /// Entries about a row that lives or died although a concurrent change wanted the opposite.
    private func lifeConflicts(_ row: RowName, _ subject: Subject, _ form: RowFacts.Form) throws -> [Conflict] {
        guard let deletion = subject.state.deletion else { return [] }
        if subject.isAlive {
            return subject.isKept ? [self.conflict(.kept, row, version: deletion.version)] : []
        }
        if case .shown = form {
            let child = try self.facts.evidence(for: row).first
            return [self.conflict(.revived, row, version: deletion.version, related: child)]
        }
        var entries: [Conflict] = []
        for (slot, register) in subject.state.registers.enumerated() {
            guard let register, !deletion.seen.covers(register.version) else { continue }
            entries.append(
                self.conflict(.overruled, row, slot: slot, value: register.value, version: register.version)
            )
        }
        return entries
    }

    private func taken(_ row: RowName, _ subject: Subject) throws -> [(rule: UniqueRule, owner: RowName)] {
        try subject.plan.uniqueRules.compactMap { rule in
            guard rule.policy != .merge, let claim = try self.facts.claim(row, rule),
                let owner = try self.facts.claimants(claim, rule, subject.plan).first, owner != row
            else { return nil }
            return (rule, owner)
        }
    }

    /// A row's values that the row it became one with does not show.
    private func mergedValues(_ row: RowName, _ subject: Subject, shownBy owner: RowName) throws -> [Conflict] {
        let plan = subject.plan
        guard try self.facts.group(of: row).count > 1, let shown = try self.facts.display(owner) else { return [] }
        var entries: [Conflict] = []
        for slot in plan.valueSlots.setBits {
            guard let register = subject.state.registers[slot], register.value != .null else { continue }
            if plan.counterSlots & (1 << UInt64(slot)) != 0 {
                // Whole numbers add up.
                if case .integer = register.value { continue }
                guard register.value != shown.values[slot] else { continue }
            } else {
                guard let winner = shown.registers[slot], register.value != winner.value else { continue }
            }
            entries.append(
                self.conflict(
                    .mergedValue,
                    row,
                    slot: slot,
                    value: register.value,
                    version: register.version,
                    related: owner == row ? nil : owner
                )
            )
        }
        return entries
    }
}
