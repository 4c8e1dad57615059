/// What an entry of the conflict journal is about.
///
/// The raw values are stored, replicated and shown in JSON: never change one. "The row" is the one the entry names, "the
/// related row" the other one it names.
package enum ConflictKind: String, Sendable, Hashable, CaseIterable {
    /// A value lost to one whose author had not seen it.
    case value
    /// The row shows a UNIQUE value with a suffix, because the related row has an older claim to it.
    case renamed
    /// The row shows NULL instead of a UNIQUE value, because the related row has an older claim to it.
    case cleared
    /// The row is hidden, because the related row has an older claim to its UNIQUE value.
    case parked
    /// The row is shown as one with the related row, which has the older claim to their UNIQUE value.
    case merged
    /// A value of the row is not shown, because the related row, with which it is shown as one, has a newer one.
    case mergedValue
    /// The row was deleted and is shown, because the related row was made or edited for it meanwhile.
    case revived
    /// The row was deleted and is shown, because it was edited meanwhile.
    case kept
    /// An edit of the row is not shown, because the row was deleted meanwhile and deletions win in its table.
    case overruled
    /// The row is hidden, because the related row, to which it belongs, was deleted meanwhile.
    case cascaded
    /// The row shows NULL instead of a reference to the related row, which was deleted meanwhile.
    case detached
    /// The row is hidden, because a constraint of its table refuses it; the value says which, if it is text.
    case setAside

    /// Whether the entry follows from what is known of rows now; the others follow from how it came about.
    package var followsFromState: Bool { self != .value }
}
