/// What a notice to programs may say.
package enum NoticeText {
    /// Characters at most.
    package static let charactersMax = 1_000
    /// Bytes at most: a character can have any number of accents.
    package static let bytesMax = 8_000

    /// Whether it is 1 to ``charactersMax`` characters, not all of them spaces, and none that controls a terminal.
    package static func isText(_ text: String) -> Bool {
        guard text.utf8.count <= self.bytesMax, text.count <= self.charactersMax else { return false }
        return !text.allSatisfy(\.isWhitespace)
            && text.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
    }
}
