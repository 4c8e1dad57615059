import ClinicSyncModel

/// Finds the rows whose form may have changed, beginning with the queued rows.
///
/// It lives for one run of the projection.
final class AffectedRows {
    private let queue: ProjectionQueue
    private let facts: RowFacts
    private let rows: RowStates
    private let claims: Claims
    /// The rows that were found.
    private var visited: Set<RowName> = []
    /// The same in the order in which they were found.
    private(set) var order: [RowName] = []

    /// Begins with the rows of `queue`.
    init(_ queue: ProjectionQueue, facts: RowFacts) {
        self.queue = queue
        self.facts = facts
        self.rows = facts.rows
        self.claims = facts.claims
    }

    /// Whether a row was found.
    func contains(_ row: RowName) -> Bool { self.visited.contains(row) }

    /// Adds a row.
    func add(_ row: RowName) {
        if self.visited.insert(row).inserted { self.order.append(row) }
    }

    /// Moves deleted rows that are needed again among the shadows, so that the rows and keys that they need are found too.
    func revive(in transaction: borrowing WriteTransaction) throws {
        var candidates: [RowName] = []
        var known: Set<RowName> = []
        func add(_ row: RowName) {
            if known.insert(row).inserted { candidates.append(row) }
        }
        for row in self.queue.order {
            add(row)
            for parent in self.queue.entries[row]?.references ?? []
            where try self.rows.isUnsettled(parent, on: transaction.connection) {
                add(parent)
            }
        }
        var isComplete = false
        while !isComplete {
            isComplete = true
            var index = 0
            while index < candidates.count {
                let row = candidates[index]
                index += 1
                guard let subject = try self.facts.subject(row) else { continue }
                for reference in subject.plan.references where reference.policy == .revive {
                    if let parent = self.facts.parent(of: subject, reference),
                        try self.rows.isUnsettled(parent, on: transaction.connection)
                    {
                        add(parent)
                    }
                }
                guard case .tombstone = subject.residence, try self.facts.isRevived(row) else { continue }
                try self.moveToShadows(row, subject, form: .cascaded, in: transaction)
                let plain = try self.claims.plain(subject.plan, subject.state, on: transaction.connection)
                try self.claims.index(row, claims: plain, in: transaction)
                self.facts.forget(row)
                // What this row refers to may be needed now, too.
                isComplete = false
            }
        }
        for row in candidates { self.add(row) }
    }

    /// Adds the rows whose form depends on rows that were found, until there are no more.
    func close(in transaction: borrowing WriteTransaction) throws {
        var index = 0
        while index < self.order.count {
            let row = self.order[index]
            index += 1
            guard let subject = try self.facts.subject(row) else { continue }
            let isPresent = try self.facts.isPresent(row)
            try self.addChildren(of: row, subject, isPresent: isPresent)
            try self.addClaimants(of: row, subject, isPresent: isPresent, in: transaction)
        }
    }

    private func moveToShadows(
        _ row: RowName,
        _ subject: Subject,
        form: ShadowForm,
        in transaction: borrowing WriteTransaction
    ) throws {
        try ValueRef.with(row.key) { key in
            if case .tombstone = subject.residence {
                try self.rows.tombstones.remove(subject.plan, key: key, in: transaction)
            }
            try self.rows.shadows.write(subject.plan, subject.state, key: key, form: form, in: transaction)
        }
    }

    private func wasPresent(_ row: RowName, _ subject: Subject) -> Bool {
        if let noted = self.queue.entries[row]?.wasPresent { return noted }
        return switch subject.residence {
        case .absent, .tombstone: false
        case .row: true
        case .shadow(_, let form): form.isPresent
        }
    }

    /// Children of a row that appeared or disappeared, or that is or was one row with another, show something else.
    private func addChildren(of row: RowName, _ subject: Subject, isPresent: Bool) throws {
        var mayFollow = isPresent != self.wasPresent(row, subject)
        if subject.plan.mergeRule != nil, !mayFollow {
            if case .shadow(_, .merged) = subject.residence { mayFollow = true }
            if try self.facts.mergedInto(row) != nil { mayFollow = true }
        }
        guard mayFollow else { return }
        for child in self.rows.plans.children(of: row.table) where child.reference.policy != .keep {
            for referrer in try self.facts.referrers(to: row, child) { self.add(referrer) }
        }
    }

    /// Rows that claim a key which the row claims now or claimed before.
    private func addClaimants(
        of row: RowName,
        _ subject: Subject,
        isPresent: Bool,
        in transaction: borrowing WriteTransaction
    ) throws {
        let plan = subject.plan
        let connection = transaction.connection
        guard !plan.uniqueRules.isEmpty || !plan.references.isEmpty else { return }
        var claims: Set<ClaimName> = self.queue.entries[row]?.claims ?? []
        var isShadow = false
        if case .shadow = subject.residence {
            isShadow = true
            claims.formUnion(try self.claims.indexed(row, on: connection))
        }
        var present: Set<ClaimName> = []
        if isPresent {
            for rule in plan.uniqueRules {
                if let claim = try self.facts.claim(row, rule) { present.insert(claim) }
            }
        }
        let own = try self.claims.plain(plan, subject.state, on: connection)
        claims.formUnion(own.filter(\.isKey))
        claims.formUnion(present)
        if isPresent, isShadow || !present.isSubset(of: own) {
            let all = present.union(self.claims.references(plan, subject.state))
            try self.refresh(row, subject, claims: all, in: transaction)
        }
        for claim in claims where claim.isKey || claim.isWanted {
            let claim = claim.key
            for claim in [claim, claim.wanted] {
                for other in try self.rows.shadows.rows(claiming: claim, on: connection) { self.add(other) }
            }
            if let rule = plan.uniqueRules.first(where: { $0.number == claim.rule }),
                let holder = try self.claims.holder(plan, rule, of: claim.value, on: connection)
            {
                self.add(holder)
            }
        }
    }

    /// Puts a row's claims into the index, so that other rows find them.
    private func refresh(
        _ row: RowName,
        _ subject: Subject,
        claims: Set<ClaimName>,
        in transaction: borrowing WriteTransaction
    ) throws {
        if case .shadow = subject.residence {
            let wanted = try self.claims.indexed(row, on: transaction.connection).filter(\.isWanted)
            try self.claims.index(row, claims: claims.union(wanted), in: transaction)
        } else {
            try self.moveToShadows(row, subject, form: .shown, in: transaction)
            try self.claims.index(row, claims: claims, in: transaction)
            self.facts.forget(row)
        }
    }
}
