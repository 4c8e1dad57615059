/// A finished sweep.
package struct FinishedSweep: Sendable, Hashable {
    /// What the sweep was wanted for.
    package var purpose: SweepPurpose
    /// Rows that a program had written unnoticed.
    package var escaped: Int
    /// Rows that are too large to be sent, so that no other node can have them.
    package var unsent: Int

    /// Makes a sweep.
    package init(purpose: SweepPurpose, escaped: Int, unsent: Int) {
        self.purpose = purpose
        self.escaped = escaped
        self.unsent = unsent
    }
}
