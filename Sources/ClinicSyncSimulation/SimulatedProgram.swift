package import GRDB

/// A program of the clinic on one PC, for one step of a workload.
package struct SimulatedProgram {
    /// The run.
    package let world: SimulatedWorld
    /// The PC.
    package let node: SimulatedNode

    /// Runs a transaction of the program, named `what` in the transcript.
    ///
    /// - Returns: Whether it was committed; not when a constraint refused it.
    /// - Throws: What SQLite says otherwise.
    @discardableResult
    package func transaction(_ what: String, _ body: (Database) throws -> Void) throws -> Bool {
        let isCommitted = try self.node.disk.transaction(wallMilliseconds: self.node.clock.milliseconds, body)
        if isCommitted { self.world.programs.committed(self.node, what, in: self.world) }
        return isCommitted
    }

    /// Returns a number from 0 to `limit` - 1.
    package func below(_ limit: Int) -> Int { self.world.random.below(limit) }

    /// Returns `true` with this probability in percent.
    package func chance(_ percent: Int) -> Bool { self.world.random.chance(percent) }
}
