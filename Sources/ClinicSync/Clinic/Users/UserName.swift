/// The names by which users log in: names that differ only in case are one name.
package enum UserName {
    /// Returns the form of a name that all its spellings share.
    package static func folded(_ name: String) -> String { name.lowercased() }

    /// Returns whether two names are one.
    package static func isSame(_ left: String, _ right: String) -> Bool {
        UserName.folded(left) == UserName.folded(right)
    }
}
