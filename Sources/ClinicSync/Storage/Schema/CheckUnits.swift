/// Which columns a table's CHECK constraints speak of together, read from its definition's text.
///
/// SQLite gives only the text of CHECKs. Names are taken without understanding the expression, so that a function
/// that is called like a column counts as one: a unit that is too large costs a finer merge, one that is too small a
/// row that no node can show.
struct CheckUnits {
    /// For each CHECK the names of the columns in it, spelt as in `columns`.
    let checks: [Set<String>]

    /// Reads the CHECKs of `sql`, a `CREATE TABLE`, about `columns`.
    ///
    /// A generated column stands for the columns it is computed from.
    init(createTable sql: String, columns: [String], generated: Set<String>) {
        let tokens = SQLTokens.all(in: sql)
        let spelling = Dictionary(
            (columns + generated).map { ($0.lowercased(), $0) },
            uniquingKeysWith: { first, _ in first }
        )
        func names(_ tokens: ArraySlice<SQLToken>) -> Set<String> {
            Set(tokens.compactMap { $0.name.flatMap { spelling[$0.lowercased()] } })
        }
        var bases: [String: Set<String>] = [:]
        for definition in Self.definitions(tokens) {
            guard let name = definition.first?.name.flatMap({ spelling[$0.lowercased()] }), generated.contains(name)
            else { continue }
            bases[name] = names(definition)
        }
        self.checks = tokens.indices.compactMap { index in
            guard tokens[index].isKeyword("check"), index + 1 < tokens.count, tokens[index + 1].isSymbol("(") else {
                return nil
            }
            return Self.expanded(names(Self.parenthesised(tokens, from: index + 1)), bases: bases)
        }
    }

    /// The sets in which the columns merge: those with two columns or more, joined where they overlap, without `key`.
    func units(without key: String) -> [Set<String>] {
        var units: [Set<String>] = []
        for check in self.checks {
            var unit = check.subtracting([key])
            guard unit.count > 1 else { continue }
            for other in units where !other.isDisjoint(with: unit) { unit.formUnion(other) }
            units.removeAll { !$0.isDisjoint(with: unit) }
            units.append(unit)
        }
        return units
    }

    /// What stands between the parentheses that open at `start`.
    private static func parenthesised(_ tokens: [SQLToken], from start: Int) -> ArraySlice<SQLToken> {
        var depth = 0
        for index in start..<tokens.count {
            if tokens[index].isSymbol("(") { depth += 1 }
            if tokens[index].isSymbol(")") { depth -= 1 }
            if depth == 0 { return tokens[start..<index] }
        }
        return tokens[start...]
    }

    /// The table's column and constraint definitions: what commas outside inner parentheses divide.
    private static func definitions(_ tokens: [SQLToken]) -> [ArraySlice<SQLToken>] {
        guard let start = tokens.firstIndex(where: { $0.isSymbol("(") }) else { return [] }
        let body = self.parenthesised(tokens, from: start).dropFirst()
        var depth = 0
        return body.split { token in
            if token.isSymbol("(") { depth += 1 }
            if token.isSymbol(")") { depth -= 1 }
            return depth == 0 && token.isSymbol(",")
        }
    }

    /// `names` with generated columns replaced by what they are computed from, which may be generated as well.
    private static func expanded(_ names: Set<String>, bases: [String: Set<String>]) -> Set<String> {
        var result = names
        var size = -1
        while size != result.count {
            size = result.count
            for name in result { result.formUnion(bases[name] ?? []) }
        }
        return result.subtracting(bases.keys)
    }
}
