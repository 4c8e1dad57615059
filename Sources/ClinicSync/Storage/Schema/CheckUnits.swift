/// The columns that a table's CHECK constraints name together, read from the text of the table's definition.
///
/// SQLite gives only the text of CHECKs. This code collects names without parsing the expression, so a function with
/// the name of a column counts as that column. A unit that is too large only makes merges coarser. A unit that is too
/// small can make a row that no node can show.
struct CheckUnits {
    /// For each CHECK, the names of its columns, spelt as in `columns`.
    let checks: [Set<String>]

    /// Reads the CHECKs of the `CREATE TABLE` statement `sql` that name `columns`.
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

    /// The sets of columns that merge together, without `key`.
    ///
    /// Each set has two columns or more. Overlapping sets are joined.
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

    /// The tokens of the parenthesis that opens at `start`.
    private static func parenthesised(_ tokens: [SQLToken], from start: Int) -> ArraySlice<SQLToken> {
        var depth = 0
        for index in start..<tokens.count {
            if tokens[index].isSymbol("(") { depth += 1 }
            if tokens[index].isSymbol(")") { depth -= 1 }
            if depth == 0 { return tokens[start..<index] }
        }
        return tokens[start...]
    }

    /// The table's column and constraint definitions, separated by commas outside inner parentheses.
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

    /// `names` with each generated column replaced by the columns it is computed from, which can be generated too.
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
