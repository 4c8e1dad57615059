/// The clinic has no replicated table of that name.
package struct UnknownTable: Error, Hashable, CustomStringConvertible {
    /// The name that was asked for.
    package var name: String

    /// Makes an error.
    package init(name: String) { self.name = name }

    /// One sentence for people.
    package var description: String {
        "There is no replicated table '\(self.name)': 'clinic-node digest' lists all."
    }
}
