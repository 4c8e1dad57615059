import ClinicSyncModel

/// How a marked row differs from what the node knew of it.
enum RowDifference {
    /// Not at all.
    case none
    /// The row is new.
    case inserted
    /// Some columns changed.
    case updated(RowMeta, UInt64)

    /// What the node knew of the row; `nil` when its table did not show it.
    var meta: RowMeta? {
        if case .updated(let meta, _) = self { meta } else { nil }
    }

    /// The columns that a program changed in a row that was there.
    var slots: UInt64? {
        if case .updated(_, let slots) = self { slots } else { nil }
    }

    /// Whether the row is new.
    var isBirth: Bool {
        if case .inserted = self { true } else { false }
    }
}

/// Stamps of what a change replaces.
struct ReplacedStamps {
    /// The largest; the change's own stamp must exceed it.
    var largest = HybridTimestamp.genesis
    /// The largest of those that other nodes know; no correction may bring the change's own stamp below it.
    var shared = HybridTimestamp.genesis
}
