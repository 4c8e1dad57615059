/// What an entry of the conflict journal describes.
///
/// The raw values are stored, replicated and shown in JSON: never change one. "The row" is the entry's row; "the
/// related row" is the second row that the entry names.
package enum ConflictKind: String, Sendable, Hashable, CaseIterable {
    /// A value lost to another value, whose author had not seen it.
    case value
    /// The row shows a UNIQUE value with a suffix, because the related row has an older claim to it.
    case renamed
    /// The row shows NULL instead of a UNIQUE value, because the related row has an older claim to it.
    case cleared
    /// The row is hidden, because the related row has an older claim to its UNIQUE value.
    case parked
    /// The row is merged into the related row, which has the older claim to their UNIQUE value.
    case merged
    /// A value of the row is not shown, because the related row has a newer value. The two rows are merged.
    case mergedValue
    /// The row was deleted and is shown, because a concurrent insertion or edit of the related row refers to it.
    case revived
    /// The row was deleted and is shown, because of a concurrent edit.
    case kept
    /// An edit of the row is not shown, because of a concurrent deletion, and deletions win in the row's table.
    case overruled
    /// The row is hidden, because it belongs to the related row, which was deleted concurrently.
    case cascaded
    /// The row shows NULL instead of a reference to the related row, which was deleted concurrently.
    case detached
    /// The row is hidden, because a constraint of its table refuses it. The entry's value names the constraint, if it
    /// is text.
    case setAside
    /// A batch that no node can read is left out on every node. The entry's value has the batch's first bytes.
    case batch

    /// Whether the entry follows from the present states of rows.
    ///
    /// A `value` entry follows from the order in which writes were made, a `batch` entry from a batch.
    package var followsFromState: Bool { self != .value && self != .batch }
}
