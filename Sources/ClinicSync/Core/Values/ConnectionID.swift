/// The id of a connection; unique while the node runs.
package struct ConnectionID: Sendable, Hashable, Comparable {
    /// The number.
    package let rawValue: UInt64

    /// Makes an id.
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Orders by age.
    package static func < (left: ConnectionID, right: ConnectionID) -> Bool {
        left.rawValue < right.rawValue
    }
}
