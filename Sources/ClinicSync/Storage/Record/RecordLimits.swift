/// What a node takes of the parts of a record.
///
/// Nothing that a node collects is larger: see `CollectedSizesTests`.
package enum RecordLimits {
    /// Tables that one chunk names.
    package static let tablesMax = 256
    /// Columns of one table that one record names.
    package static let columnsMax = 63
    /// The name of a table or column, in bytes.
    package static let nameBytesMax = 256
    /// Authors that one record names.
    package static let originsMax = 65_536
    /// Parts of the counters of one row: one for each counter column and author.
    package static let counterPartsMax = 65_536
    /// Ids of one range of a reconciliation.
    package static let rangeIDsMax = 65_536
}
