import ClinicSyncCore
import ClinicSyncModel

extension RowFacts {
    /// What becomes of a row.
    enum Form {
        /// It is deleted.
        case deleted
        /// Its state is kept and its table does not show it.
        case hidden(ShadowForm)
        /// Its table shows these values.
        case shown(Shown)
    }

    /// What a table shows of a row.
    struct Shown {
        var values: [SQLiteValue]
        /// Their writers.
        var registers: [RowState.Register?]
        /// Whether they are the row's own state, no other row's form depends on its keys, and the journal does not depend on more
        /// of the state than they say.
        var isPlain: Bool
        /// Whether the row was deleted all the same.
        var isRevived: Bool
        /// The keys it claims; rules that join rows are left out.
        var keys: Set<ClaimName> = []
        /// Whether another row claims one of its keys.
        ///
        /// Such a row is among the shadows, also when it shows its own state. Otherwise nothing would say which key it gave up
        /// after a program has changed it: the table has the new key alone.
        var isContested = false
        /// The keys it would show if they were free.
        var wanted: Set<ClaimName> = []
        /// The rules of keys that other rows have.
        var taken: [(rule: UniqueRule, owner: RowName)] = []
    }

    /// Computes the form of a row.
    ///
    /// - Parameters:
    ///   - row: the row.
    ///   - subject: the row as the store knows it.
    ///   - isRefused: whether a constraint of the table refuses what the row would show.
    /// - Returns: The form.
    /// - Throws: what SQLite reports.
    func form(of row: RowName, _ subject: Subject, isRefused: Bool) throws -> Form {
        guard try self.isPresent(row) else {
            if subject.isDead, try !self.isRevived(row) { return .deleted }
            return .hidden(try self.isCascaded(row) ? .cascaded : .waiting)
        }
        if try self.mergedInto(row) != nil { return .hidden(.merged) }
        guard let display = try self.display(row) else { return .deleted }
        var shown = Shown(
            values: display.values,
            registers: display.registers,
            isPlain: false,
            isRevived: !subject.isAlive
        )
        for rule in subject.plan.uniqueRules where rule.policy != .merge {
            guard let claim = try self.claim(row, rule) else { continue }
            shown.keys.insert(claim)
            let claimants = try self.claimants(claim, rule, subject.plan)
            if claimants.count > 1 { shown.isContested = true }
            guard let owner = claimants.first, owner != row else { continue }
            shown.taken.append((rule, owner))
            switch rule.policy {
            case .park: return .hidden(.parked)
            case .null: shown.values[rule.lastSlot] = .null
            case .suffix:
                let keys = try self.suffixedKeys(claim, rule, subject.plan)
                if let value = keys.values[row] { shown.values[rule.lastSlot] = value }
                shown.wanted.formUnion(keys.wanted[row] ?? [])
            case .merge: break
            }
        }
        // After the keys, so that a row that is refused says which of its keys are taken.
        if isRefused { return .hidden(.setAside) }
        let isAlone = try self.group(of: row).count <= 1
        shown.isPlain =
            subject.isAlive && isAlone && shown.values == subject.plan.values(of: subject.state)
            && !shown.isContested && !subject.isKept
        return .shown(shown)
    }
}
