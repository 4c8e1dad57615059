/// The tables whose rows a backup leaves out, beside those that this folder knows.
package struct BackupExclusions: Sendable, Hashable {
    /// Replicated tables: their rows come back from the other nodes.
    package var replicated: [String]
    /// Tables of the node alone.
    package var local: [String]

    /// Names the tables.
    package init(replicated: [String] = [], local: [String] = []) {
        self.replicated = replicated
        self.local = local
    }
}
