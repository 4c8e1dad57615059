/// The id of a command of a person or program; unique while the node runs.
package struct RequestID: Sendable, Hashable, Comparable {
    /// The number.
    package let rawValue: UInt64

    /// Makes an id.
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Orders by age.
    package static func < (left: RequestID, right: RequestID) -> Bool {
        left.rawValue < right.rawValue
    }
}
