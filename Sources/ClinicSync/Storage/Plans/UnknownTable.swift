import ClinicSyncModel

/// The error for a name that no replicated table of the clinic has.
package struct UnknownTable: Error, Hashable, CustomStringConvertible {
    /// The name that the caller gave.
    package var name: String
    /// What follows the name in the message: the table that the caller may have meant.
    private var question: String

    /// Makes an error.
    ///
    /// - Parameters:
    ///   - name: the name that the caller gave.
    ///   - tables: the tables that there are.
    package init(name: String, among tables: some Sequence<String> = EmptyCollection<String>()) {
        self.name = name
        self.question = ClosestName.question(name, among: tables)
    }

    /// The message for people, one sentence.
    package var description: String {
        "There is no replicated table '\(self.name)'\(self.question): 'clinic-node digest' lists all."
    }
}
