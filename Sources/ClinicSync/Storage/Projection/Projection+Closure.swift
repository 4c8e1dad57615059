import ClinicSyncCore
import ClinicSyncModel

/// Finding the rows whose form may have changed.
extension Projection {
    /// Brings deleted rows that are needed again among the shadows, so that the rows they need in turn are found, and keys too.
    func revive() throws {
        var candidates: [RowName] = []
        var known: Set<RowName> = []
        func add(_ row: RowName) throws {
            guard known.insert(row).inserted else { return }
            candidates.append(row)
        }
        for row in self.queue.order {
            try add(row)
            for parent in self.queue.entries[row]?.references ?? [] where try self.writer.isUnsettled(parent) {
                try add(parent)
            }
        }
        var isComplete = false
        while !isComplete {
            isComplete = true
            var index = 0
            while index < candidates.count {
                let row = candidates[index]
                index += 1
                guard let subject = try self.subject(row) else { continue }
                for reference in subject.plan.references where reference.policy == .revive {
                    if let parent = self.parent(of: subject, reference), try self.writer.isUnsettled(parent) {
                        try add(parent)
                    }
                }
                guard case .tombstone = subject.residence, try self.isRevived(row) else { continue }
                try ValueRef.with(row.key) { key in
                    try self.writer.forgetTombstone(subject.plan, key: key)
                    try self.writer.writeShadow(subject.plan, subject.state, key: key, form: .cascaded)
                }
                try self.writer.index(row, claims: self.writer.plainClaims(subject.plan, subject.state))
                self.forget(row)
                // What this row refers to may be needed now, too.
                isComplete = false
            }
        }
        for row in candidates { self.visit(row) }
    }

    /// Adds the rows whose form depends on rows that were found, until there are no more.
    func close() throws {
        var index = 0
        while index < self.order.count {
            let row = self.order[index]
            index += 1
            guard let subject = try self.subject(row) else { continue }
            let isPresent = try self.isPresent(row)
            try self.visitChildren(of: row, subject, isPresent: isPresent)
            try self.visitClaimants(of: row, subject, isPresent: isPresent)
        }
    }

    /// Has a row's form worked out.
    func visit(_ row: RowName) {
        if self.visited.insert(row).inserted { self.order.append(row) }
    }

    private func wasPresent(_ row: RowName, _ subject: Subject) -> Bool {
        if let noted = self.queue.entries[row]?.wasPresent { return noted }
        return switch subject.residence {
        case .absent, .tombstone: false
        case .row: true
        case .shadow(_, let form): form.isPresent
        }
    }

    /// Children of a row that came or went, or that is or was one with another, show something else.
    private func visitChildren(of row: RowName, _ subject: Subject, isPresent: Bool) throws {
        var mayFollow = isPresent != self.wasPresent(row, subject)
        if subject.plan.mergeRule != nil, !mayFollow {
            if case .shadow(_, .merged) = subject.residence { mayFollow = true }
            if try self.mergedInto(row) != nil { mayFollow = true }
        }
        guard mayFollow else { return }
        for child in self.writer.plans.children(of: row.table) where child.reference.policy != .keep {
            for referrer in try self.referrers(to: row, child) { self.visit(referrer) }
        }
    }

    /// Rows that claim a key which the row claims now or claimed before.
    private func visitClaimants(of row: RowName, _ subject: Subject, isPresent: Bool) throws {
        let plan = subject.plan
        guard !plan.uniqueRules.isEmpty || !plan.references.isEmpty else { return }
        var claims: Set<ClaimName> = self.queue.entries[row]?.claims ?? []
        var isShadow = false
        if case .shadow = subject.residence {
            isShadow = true
            claims.formUnion(try self.writer.indexedClaims(row))
        }
        var present: Set<ClaimName> = []
        if isPresent {
            for rule in plan.uniqueRules {
                if let claim = try self.claim(row, rule) { present.insert(claim) }
            }
        }
        let own = try self.writer.plainClaims(plan, subject.state)
        claims.formUnion(own.filter { $0.rule < ReferenceRule.firstNumber })
        claims.formUnion(present)
        if isPresent, isShadow || !present.isSubset(of: own) {
            try self.refresh(row, subject, claims: present.union(self.writer.references(plan, subject.state)))
        }
        for claim in claims where claim.rule < ReferenceRule.firstNumber {
            for other in try self.writer.shadows(claiming: claim) { self.visit(other) }
            // Rows that would show this key if it were free.
            let wanted = ClaimName(table: claim.table, rule: claim.rule + Projection.wantedRule, value: claim.value)
            for other in try self.writer.shadows(claiming: wanted) { self.visit(other) }
            if let rule = plan.uniqueRules.first(where: { $0.number == claim.rule }),
                let holder = try self.writer.holder(plan, rule, of: claim.value)
            {
                self.visit(holder)
            }
        }
    }

    /// The rules of keys that a row would show if they were free are those of the keys, and this.
    static let wantedRule = 128

    /// Puts a row's claims into the index, so that others find them.
    private func refresh(_ row: RowName, _ subject: Subject, claims: Set<ClaimName>) throws {
        if case .shadow = subject.residence {
            let wanted = try self.writer.indexedClaims(row).filter { $0.rule >= Projection.wantedRule }
            try self.writer.index(row, claims: claims.union(wanted))
        } else {
            try ValueRef.with(row.key) { key in
                if case .tombstone = subject.residence { try self.writer.forgetTombstone(subject.plan, key: key) }
                try self.writer.writeShadow(subject.plan, subject.state, key: key, form: .shown)
            }
            try self.writer.index(row, claims: claims)
            self.forget(row)
        }
    }
}
