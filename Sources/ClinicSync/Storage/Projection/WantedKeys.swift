import ClinicSyncModel

/// The keys that rows would show if they were free, in one run of the projection.
///
/// A row with such a key is kept among the shadows, as a contested row is: when a program changes its key, the rows that would
/// show the key must be found.
struct WantedKeys {
    /// The claims under which the rows are indexed.
    private let wanted: Set<ClaimName>
    /// The same, in the order of the rows.
    private let order: [ClaimName]

    /// Reads the keys from the forms.
    init(_ forms: [FormedRow]) {
        var wanted: Set<ClaimName> = []
        var order: [ClaimName] = []
        for formed in forms {
            guard case .shown(let shown) = formed.form else { continue }
            for claim in shown.wanted where wanted.insert(claim).inserted { order.append(claim) }
        }
        self.wanted = wanted
        self.order = order
    }

    /// The rows that claim the keys.
    func owners(_ facts: RowFacts) throws -> [RowName] {
        try self.order.flatMap { claim -> [RowName] in
            guard let plan = facts.rows.plans[claim.table],
                let rule = plan.uniqueRules.first(where: { $0.number == claim.key.rule })
            else { return [] }
            return try facts.claimants(claim.key, rule, plan)
        }
    }

    /// The form of a row, which is no plain one if another row would show one of its keys.
    func mark(_ formed: FormedRow, _ facts: RowFacts, _ affected: AffectedRows) throws -> FormedRow {
        guard case .shown(var shown) = formed.form, shown.isPlain else { return formed }
        shown.isPlain = try !shown.keys.contains { try self.isWanted($0, facts, affected) }
        return FormedRow(row: formed.row, subject: formed.subject, form: .shown(shown))
    }

    /// Whether a row would show a key; the index says so of rows whose form is not computed in this run.
    private func isWanted(_ key: ClaimName, _ facts: RowFacts, _ affected: AffectedRows) throws -> Bool {
        if self.wanted.contains(key.wanted) { return true }
        return try facts.rowsWanting(key).contains { !affected.contains($0) }
    }
}
