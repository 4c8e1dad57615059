import ClinicSyncCore
import ClinicSyncModel

/// What each row shows.
extension Projection {
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
        /// Who wrote them.
        var registers: [RowState.Register?]
        /// Whether they are the row's own state.
        var isPlain: Bool
        /// Whether the row was deleted all the same.
        var isRevived: Bool
        /// The keys it would show if they were free.
        var wanted: Set<ClaimName> = []
        /// The columns of keys that others have.
        var taken: [(rule: UniqueRule, owner: RowName)] = []
    }

    /// How the later claims of one key are shown.
    struct SuffixedKeys {
        /// What each row shows in the key's last column.
        var values: [RowName: SQLiteValue] = [:]
        /// The keys it would have shown, had they been free.
        var wanted: [RowName: Set<ClaimName>] = [:]
    }

    /// Works out the form of a row.
    func form(of row: RowName, _ subject: Subject) throws -> Form {
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
            let claimants = try self.claimants(claim, rule, subject.plan)
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
        if self.refused[row] != nil { return .hidden(.setAside) }
        let isAlone = try self.group(of: row).count <= 1
        shown.isPlain =
            subject.isAlive && isAlone && shown.values == self.writer.values(subject.plan, of: subject.state)
            && shown.taken.isEmpty
        return .shown(shown)
    }

    /// Gives every later claim of a key a suffix that nobody claims.
    private func suffixedKeys(_ claim: ClaimName, _ rule: UniqueRule, _ plan: TablePlan) throws -> SuffixedKeys {
        if let known = self.suffixes[claim] { return known }
        var keys = SuffixedKeys()
        var taken: Set<ClaimName> = []
        for row in try self.claimants(claim, rule, plan).dropFirst() {
            guard let display = try self.display(row) else { continue }
            var values = display.values
            for length in UniqueRule.suffixLengthMin...UniqueRule.suffixLengthMax {
                let own = display.values[rule.lastSlot]
                values[rule.lastSlot] = UniqueRule.suffixed(own, key: row.key, length: length)
                keys.values[row] = values[rule.lastSlot]
                guard let shown = try self.writer.claim(plan, rule, values: values) else { break }
                let isFree = try self.claimants(shown, rule, plan).isEmpty
                if isFree, taken.insert(shown).inserted { break }
                let wanted = ClaimName(table: shown.table, rule: shown.rule + Projection.wantedRule, value: shown.value)
                keys.wanted[row, default: []].insert(wanted)
            }
        }
        self.suffixes[claim] = keys
        return keys
    }
}
