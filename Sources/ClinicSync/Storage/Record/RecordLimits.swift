/// What a node takes of the parts of a record.
///
/// Nothing that a node collects is larger: see `CollectedSizesTests`.
package enum RecordLimits {
    /// Authors that one record names.
    package static let originsMax = 65_536
    /// Parts of the counters of one row: one for each counter column and author.
    package static let counterPartsMax = 65_536
}
