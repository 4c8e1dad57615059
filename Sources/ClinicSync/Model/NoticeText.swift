/// The rules for the text of a notice to programs.
package enum NoticeText {
    /// The largest number of characters.
    package static let charactersMax = 1_000
    /// The largest number of bytes: a character can have any number of accents.
    package static let bytesMax = 8_000

    /// Whether the text has 1 to ``charactersMax`` characters, not only spaces, and no control character of a
    /// terminal.
    package static func isText(_ text: String) -> Bool {
        guard text.utf8.count <= self.bytesMax, text.count <= self.charactersMax else { return false }
        return !text.allSatisfy(\.isWhitespace)
            && text.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
    }
}
