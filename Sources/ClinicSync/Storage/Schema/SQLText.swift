/// Quotes names and text for SQL that is made from a table's definition.
///
/// Names come from the database's own schema, never from a peer.
package enum SQLText {
    /// A name in double quotes.
    package static func name(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }

    /// A text literal in single quotes.
    package static func literal(_ text: String) -> String {
        "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
    }

    /// Names in double quotes, each after `prefix`, separated by commas.
    package static func list(_ names: [String], prefix: String = "") -> String {
        names.map { prefix + self.name($0) }.joined(separator: ", ")
    }
}
