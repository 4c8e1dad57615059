import ClinicSyncCore
import ClinicSyncModel

/// An entry for a lost value as it is stored, with what a person decided about it.
struct StoredLoss {
    var id: String
    var conflict: Conflict
    var decision: JournalEntry.Decision?

    /// Whether it comes before `other` in a list, the newest first.
    func isListed(before other: StoredLoss) -> Bool {
        let (own, others) = (self.conflict.version.timestamp, other.conflict.version.timestamp)
        return own == others ? self.id < other.id : own > others
    }

    /// The value, its author and its time.
    var written: JournalEntry.Written {
        JournalEntry.Written(
            value: self.conflict.value,
            node: self.conflict.version.origin.node,
            timestamp: self.conflict.version.timestamp
        )
    }
}

/// Lost values of one column of one row that people see as one entry.
///
/// Two people who type into one field, with a save at each keystroke, lose a value each time two saves cross. The journal
/// keeps every value. People get one entry for the two PCs, under the id of the newest value, which says how many it stands
/// for. This is a function of the journal and of the shown value, so all nodes see the same.
///
/// | values | one entry for |
/// |---|---|
/// | open | each PC that wrote some of them, and the PC of the shown value: its own lost values count with those of the other PC that lost last |
/// | open, of a row that was deleted past the triggers | the row |
/// | decided | each decision |
struct LossGroup {
    /// The values, newest first; of equal values the newest.
    private(set) var values: [StoredLoss]
    /// The entries of the values and of the equal ones, which a decision settles together.
    private(set) var ids: [String]

    /// What the values of a group have in common.
    private enum Sort: Hashable {
        case open(author: NodeID)
        case row
        case decided(JournalEntry.Decision)

        init(_ loss: StoredLoss) {
            if let decision = loss.decision {
                self = .decided(decision)
            } else {
                self = loss.conflict.standsForRow ? .row : .open(author: loss.conflict.version.origin.node)
            }
        }
    }

    /// Values that say the same.
    private struct Equal: Hashable {
        /// `nil`: open, whoever wrote them.
        var sort: Sort?
        var value: SQLiteValue

        init(_ loss: StoredLoss, _ sort: Sort) {
            if case .open = sort { self.sort = nil } else { self.sort = sort }
            self.value = loss.conflict.value
        }
    }

    /// Whether no person has decided about the values.
    var isOpen: Bool { self.values.first?.decision == nil }

    /// Whether one of the values is from this node.
    func has(author node: NodeID) -> Bool {
        self.values.contains { $0.conflict.version.origin.node == node }
    }

    /// Groups the entries of one column of one row.
    ///
    /// - Parameters:
    ///   - losses: the entries, newest first.
    ///   - author: who wrote what the row shows in the column; `nil` when it shows nothing.
    ///   - isShown: whether the row shows a value; an open entry with such a value says nothing.
    /// - Returns: The groups.
    static func groups(of losses: [StoredLoss], shownBy author: NodeID?, isShown: (SQLiteValue) -> Bool) -> [LossGroup]
    {
        var order: [Sort] = []
        var groups: [Sort: LossGroup] = [:]
        var places: [Equal: Sort] = [:]
        for loss in losses where loss.decision != nil || !isShown(loss.conflict.value) {
            let sort = Sort(loss)
            let equal = Equal(loss, sort)
            if let place = places[equal] {
                groups[place]?.ids.append(loss.id)
            } else {
                places[equal] = sort
                if groups[sort] == nil { order.append(sort) }
                groups[sort, default: LossGroup(values: [], ids: [])].add(loss)
            }
        }
        if let author, let own = groups[.open(author: author)],
            let other = order.first(where: { sort in
                if case .open(let node) = sort { node != author } else { false }
            })
        {
            groups[other]?.add(own)
            groups[.open(author: author)] = nil
        }
        return order.compactMap { groups[$0] }
    }

    private mutating func add(_ loss: StoredLoss) {
        self.values.append(loss)
        self.ids.append(loss.id)
    }

    private mutating func add(_ other: LossGroup) {
        self.values = (self.values + other.values).sorted { $0.isListed(before: $1) }
        self.ids += other.ids
    }
}
