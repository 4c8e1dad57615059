package import ClinicSyncCore
package import ClinicSyncModel

/// Repair: merging of whole rows that a reconciliation exchanged.
extension ReplicaWriter {
    /// Merges a peer's rows into ours, by the rules that apply to changes.
    ///
    /// - Throws: ``MalformedChunk`` when the page is no page; ``StoreError``. The store is as before then.
    package func merge(_ page: RowStatePage, clockOffsetMilliseconds offset: Int64) throws -> MergeOutcome {
        guard let plan = self.plans[page.table] else {
            throw MalformedChunk(reason: "the page is of a table that is not replicated")
        }
        var result = ApplyResult()
        try self.finishBulk(offset: offset, logged: &result.logged, events: &result.events)
        var changed = 0
        var ahead: [SQLiteValue] = []
        var collected = false
        guard !page.payload.isEmpty else {
            return MergeOutcome(
                changedRows: 0,
                // Of the bulk whose rest was collected on the way.
                events: result.events,
                logged: result.logged,
                vector: self.ledger.vector,
                aheadKeys: []
            )
        }
        do {
            try self.transaction {
                // What is merged now is judged by the stamps as they are.
                try self.countAllAsShared()
                var local = EventCollector(isLocal: true)
                let logged = try self.collectAll(offset: offset, events: &local)
                collected = !logged.isEmpty
                result.logged += logged
                result.events += try self.record(local)
                var events = EventCollector(isLocal: false)
                try page.payload.withUnsafeBytes { payload in
                    var reader = try RowStateReader(payload, plan: plan)
                    while let theirs = try reader.next() {
                        if reader.hasUnknownColumns {
                            try self.noteUnread(plan, key: theirs.key, columns: reader.unknownColumns)
                        }
                        let merged = try self.merge(
                            theirs,
                            plan: plan,
                            offset: offset,
                            events: &events,
                            result: &result
                        )
                        if merged.isAhead { ahead.append(theirs.key) }
                        if merged.isChanged { changed += 1 }
                    }
                }
                try self.projectRows(events: &events)
                result.events += try self.record(events)
            }
        } catch let malformed as MalformedRecord {
            throw MalformedChunk(reason: malformed.reason)
        }
        if collected || result.hasCollected { try self.makeDurable() }
        return MergeOutcome(
            changedRows: changed,
            events: result.events,
            logged: result.logged,
            vector: self.ledger.vector,
            aheadKeys: ahead
        )
    }

    /// Merges a peer's row into ours.
    ///
    /// - Returns: Whether our row changed, and whether it has something that the peer's has not.
    private func merge(
        _ theirs: RowState,
        plan: TablePlan,
        offset: Int64,
        events: inout EventCollector,
        result: inout ApplyResult
    ) throws -> (isChanged: Bool, isAhead: Bool) {
        var located = try self.locateCollected(plan, key: theirs.key, offset: offset, result: &result)
        let before = located.state
        let losses = located.state.merge(theirs) { self.ledger.hasSeen($0, $1) }
        try self.settleValues(losses, by: nil, plan: plan, state: located.state, events: &events)
        let isAhead = located.state != theirs
        guard located.state != before || located.isAbsent else { return (false, isAhead) }
        let was = ReplicaWriter.Located(state: before, residence: located.residence)
        if let visible = try self.save(plan, located.state, from: was, cause: nil) {
            let stamp = located.state.largestTimestamp
            events.add(visible, plan: plan, key: theirs.key, timestamp: stamp, batch: nil) {
                located.state.value(slot: $0)
            }
            if plan.definition.name == Conflict.table { try self.noteForeignConflict(theirs.key, events: &events) }
        }
        return (true, isAhead)
    }
}

extension ReplicaWriter.Located {
    /// Whether nothing was known of the row.
    var isAbsent: Bool {
        if case .absent = self.residence { true } else { false }
    }
}
