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
                        var located = try self.locateCollected(
                            plan,
                            key: theirs.key,
                            offset: offset,
                            result: &result
                        )
                        let before = located.state
                        let losses = located.state.merge(theirs) { self.ledger.hasSeen($0, $1) }
                        try ValueRef.with(theirs.key) { key in
                            try self.journal(losses, plan: plan, key: key, result: &result)
                        }
                        if located.state != theirs { ahead.append(theirs.key) }
                        guard located.state != before || located.isAbsent else { continue }
                        changed += 1
                        if let visible = try self.save(plan, located.state, from: located.residence) {
                            let stamp = located.state.largestTimestamp
                            events.add(visible, plan: plan, key: theirs.key, timestamp: stamp, batch: nil) {
                                located.state.value(slot: $0)
                            }
                        }
                    }
                }
                try self.retryWaiting(events: &events)
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
}

extension ReplicaWriter.Located {
    /// Whether nothing was known of the row.
    var isAbsent: Bool {
        if case .absent = self.residence { true } else { false }
    }
}
