/// The rule for names that people give: of clinics, nodes and users.
package enum DisplayName {
    /// Bytes of a name at most.
    package static let bytesMax = 64

    /// Whether a text can be a name: 1 to ``bytesMax`` bytes, no control characters, and not spaces alone.
    package static func isName(_ name: String) -> Bool {
        let scalars = name.unicodeScalars
        return name.utf8.count <= self.bytesMax
            && scalars.allSatisfy { $0.properties.generalCategory != .control }
            && scalars.contains { !self.isSpace($0) }
    }

    /// Whether a name has no space at its beginning and at its end.
    package static func isTrimmed(_ name: String) -> Bool {
        let ends = [name.unicodeScalars.first, name.unicodeScalars.last].compactMap { $0 }
        return !ends.contains { self.isSpace($0) }
    }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .spaceSeparator
    }
}
