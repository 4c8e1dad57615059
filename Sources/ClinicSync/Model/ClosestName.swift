/// The name that a person may have meant by a text that is no name.
package enum ClosestName {
    /// Characters of a text, and of names, that are looked at: the work grows with their product.
    private static let charactersMax = 64

    /// Returns the name that differs least from the text: by a third of its characters at most, and by three at most.
    ///
    /// Case makes no difference. Of several such names the first in their order is returned.
    package static func of(_ text: String, among names: some Sequence<String>) -> String? {
        let wanted = Array(text.lowercased().prefix(ClosestName.charactersMax))
        let limit = max(1, min(3, wanted.count / 3))
        let ranked = names.sorted().map { name in
            (
                name: name,
                distance: ClosestName.distance(wanted, Array(name.lowercased().prefix(ClosestName.charactersMax)))
            )
        }
        guard let closest = ranked.min(by: { $0.distance < $1.distance }), closest.distance <= limit else { return nil }
        return closest.name
    }

    /// Returns the addition to an error: ` (did you mean "NAME"?)`, or nothing when no name is close.
    package static func question(_ text: String, among names: some Sequence<String>) -> String {
        ClosestName.of(text, among: names).map { " (did you mean \"\($0)\"?)" } ?? ""
    }

    /// Returns how many characters must be inserted, removed, or replaced (Levenshtein).
    private static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var row = Array(0...right.count)
        for (index, character) in left.enumerated() {
            var diagonal = row[0]
            row[0] = index &+ 1
            for column in right.indices {
                let replaced = diagonal &+ (right[column] == character ? 0 : 1)
                diagonal = row[column &+ 1]
                row[column &+ 1] = min(replaced, diagonal &+ 1, row[column] &+ 1)
            }
        }
        return row[right.count]
    }
}
