/// A write transaction of another program, for which this node's store waits.
package struct StoreLock: Sendable, Hashable {
    /// A process of this PC.
    package struct Holder: Sendable, Hashable {
        /// Its number.
        package var process: Int
        /// The name of its program; empty when the system does not tell it.
        package var program: String

        /// Makes a holder.
        package init(process: Int, program: String) {
            self.process = process
            self.program = program
        }
    }

    /// How long the store has waited so far.
    package var waited: Duration
    /// The process that has the transaction open; `nil` when the system does not tell.
    package var holder: Holder?

    /// Makes a lock.
    package init(waited: Duration, holder: Holder?) {
        self.waited = waited
        self.holder = holder
    }
}
