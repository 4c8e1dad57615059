/// The text of a statement, as the key under which the prepared statement is kept.
///
/// A hot loop looks for a statement several times for each row. Hashing some hundred bytes of text would take as long as binding the
/// statement's parameters. So the hash is of the length and the last bytes alone. Comparing is cheap: the text is nearly always the same
/// memory.
struct StatementText: Hashable {
    private let text: String

    /// The last bytes of the text that are hashed.
    private static let hashedBytes = 8

    init(_ text: String) { self.text = text }

    func hash(into hasher: inout Hasher) {
        hasher.combine(self.text.utf8.count)
        for byte in self.text.utf8.suffix(StatementText.hashedBytes) { hasher.combine(byte) }
    }
}
