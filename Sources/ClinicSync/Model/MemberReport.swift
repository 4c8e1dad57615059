/// What a node knows of another member: whether it is there, and how far it is equal.
///
/// A host knows all members; a client is connected with the host alone and asks it.
package struct MemberReport: Sendable, Hashable {
    /// The newest comparison of the member's tables with the tables of the node that reports.
    package struct Comparison: Sendable, Hashable {
        /// Whether all tables were equal.
        package var isEqual: Bool
        /// When: the clinic's time, milliseconds since 1970.
        package var milliseconds: Int64
        /// The tables that differed, as far as they are known; at most ``tablesMax``.
        package var tables: [String]

        /// The largest number of tables that are named.
        package static let tablesMax = 4

        /// Makes a comparison.
        package init(isEqual: Bool, milliseconds: Int64, tables: [String] = []) {
            self.isEqual = isEqual
            self.milliseconds = milliseconds
            self.tables = tables
        }
    }

    /// A dial that did not lead to the member.
    package struct Try: Sendable, Hashable {
        /// What was dialled.
        package var address: String
        /// What came of it, in words.
        package var answer: String

        /// Makes a description.
        package init(address: String, answer: String) {
            self.address = address
            self.answer = answer
        }
    }

    /// The member.
    package var node: NodeID
    /// Whether it is connected with the node that reports.
    package var isConnected = false
    /// Whether it has joined and has nothing of the other nodes yet, as far as it has said.
    package var isJoining = false
    /// When its last message arrived: the clinic's time, milliseconds since 1970; `nil` when none arrived since the start of the
    /// node that reports.
    package var lastSeen: Int64?
    /// Batches of the node that reports that the member has not applied, as far as it has said; `nil` when it never said.
    package var lagBatches: UInt64?
    /// Whether it lacks batches that are ten seconds old, so that they are not only on their way.
    package var isLate = false
    /// The newest comparison; `nil` when there is none, or it is old.
    package var comparison: Comparison?
    /// The newest dial, when it did not lead to the member.
    package var lastTry: Try?

    /// Makes a report of a member of which nothing is known.
    package init(node: NodeID) { self.node = node }
}
