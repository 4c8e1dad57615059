/// The error for a name that no replicated table of the clinic has.
package struct UnknownTable: Error, Hashable, CustomStringConvertible {
    /// The name that the caller gave.
    package var name: String

    /// Makes an error.
    package init(name: String) { self.name = name }

    /// The message for people, one sentence.
    package var description: String {
        "There is no replicated table '\(self.name)': 'clinic-node digest' lists all."
    }
}
