import ClinicSyncStorage
import Testing

/// A table and a manifest entry that contradict each other.
struct Contradiction: Sendable, CustomTestStringConvertible {
    let sql: String
    let entry: String
    let error: SchemaError

    init(_ columns: String, _ rules: String = "", _ error: SchemaError) {
        self.sql = "CREATE TABLE t(\(columns));"
        self.entry = #""t": {"category": "data"\#(rules.isEmpty ? "" : ", " + rules)}"#
        self.error = error
    }

    init(sql: String, entry: String, _ error: SchemaError) {
        self.sql = sql
        self.entry = entry
        self.error = error
    }

    var testDescription: String { self.error.message }
}

@Suite("Manifest and DDL are checked against each other")
struct SchemaContradictionTests {
    static let key = "id TEXT PRIMARY KEY NOT NULL"

    static let tables: [Contradiction] = [
        Contradiction("\(key), a UNIQUE", "", .uniqueWithoutPolicy(table: "t", columns: "a")),
        Contradiction(
            key,
            #""duplicates": {"a": "merge"}"#,
            .missingColumn(table: "t", column: "a", rule: "duplicates")
        ),
        Contradiction(
            "\(key), a, b, UNIQUE (a, b)",
            #""duplicates": {"a,b": "merge", "a": "merge"}"#,
            .policyWithoutUnique(table: "t", columns: "a")
        ),
        Contradiction(
            "\(key), a NOT NULL UNIQUE",
            #""duplicates": {"a": "null"}"#,
            .policyNeedsNull(table: "t", column: "a", rule: "duplicates")
        ),
        Contradiction(key, #""counters": ["n"]"#, .missingColumn(table: "t", column: "n", rule: "counters")),
        Contradiction(key, #""derived": ["n"]"#, .missingColumn(table: "t", column: "n", rule: "derived")),
        Contradiction(key, #""derived": ["id"]"#, .unusableDerived(table: "t", column: "id")),
        Contradiction("\(key), n INTEGER", #""counters": ["n"]"#, .unusableCounter(table: "t", column: "n")),
        Contradiction("\(key), n REAL NOT NULL", #""counters": ["n"]"#, .unusableCounter(table: "t", column: "n")),
        Contradiction(
            key,
            #""references": {"p": "null"}"#,
            .missingColumn(table: "t", column: "p", rule: "references")
        ),
        Contradiction("\(key), p", #""references": {"p": "null"}"#, .policyWithoutReference(table: "t", column: "p")),
        Contradiction(
            "\(key), p NOT NULL REFERENCES t(id)",
            #""references": {"p": "null"}"#,
            .policyNeedsNull(table: "t", column: "p", rule: "references")
        ),
        Contradiction(
            "\(key), g INTEGER NOT NULL AS (1)",
            #""counters": ["g"]"#,
            .generatedColumn(table: "t", column: "g")
        ),
        Contradiction(
            (0..<63).reduce(into: key) { $0 += ", c\($1)" },
            "",
            .tooManyColumns(table: "t", count: 64)
        ),
    ]

    static let keys: [Contradiction] = [
        Contradiction("a", "", .unusableKey(table: "t", column: nil, reason: "is missing")),
        Contradiction("a, b, PRIMARY KEY (a, b)", "", .unusableKey(table: "t", column: nil, reason: "has 2 columns")),
        Contradiction(
            "id INTEGER PRIMARY KEY NOT NULL",
            "",
            .unusableKey(table: "t", column: "id", reason: "is not declared TEXT")
        ),
        Contradiction("id TEXT PRIMARY KEY", "", .unusableKey(table: "t", column: "id", reason: "may be NULL")),
        Contradiction(
            "id TEXT COLLATE NOCASE PRIMARY KEY NOT NULL",
            "",
            .unusableKey(table: "t", column: "id", reason: "has the collation NOCASE")
        ),
    ]

    static let others: [Contradiction] = [
        Contradiction(sql: "CREATE TABLE u(\(key));", entry: #""t": {"category": "data"}"#, .missingTable("t")),
        Contradiction(
            sql: "CREATE VIEW t AS SELECT 1 AS id;",
            entry: #""t": {"category": "data"}"#,
            .missingTable("t")
        ),
        Contradiction(
            sql: "",
            entry: #""clinicsync_dirty": {"category": "data"}"#,
            .reservedTable("clinicsync_dirty")
        ),
        Contradiction(
            sql: "",
            entry: #""ClinicSync_node": {"category": "patient"}"#,
            .reservedTable("ClinicSync_node")
        ),
        Contradiction(
            sql: "",
            entry: #""clinicsync_dirty": {"category": "system"}"#,
            .unusableKey(table: "clinicsync_dirty", column: nil, reason: "has 2 columns")
        ),
        Contradiction(
            sql: "CREATE TABLE t(\(key), a); CREATE UNIQUE INDEX i ON t(lower(a));",
            entry: #""t": {"category": "data"}"#,
            .uniqueExpression(table: "t", index: "i")
        ),
        Contradiction(
            sql: "CREATE TABLE t(\(key));",
            entry: #""t": {"category": "data", "delets": "win"}"#,
            .unknownManifestKey(key: "delets", place: "tables.t")
        ),
        Contradiction(
            sql: "CREATE TABLE t(\(key));",
            entry: #""t": {"category": "system"}"#,
            .unknownManifestWord(
                word: "system",
                place: "tables.t.category",
                allowed: ["billing", "patient", "user", "data"]
            )
        ),
        Contradiction(
            sql: "CREATE TABLE t(\(key));",
            entry: #""t": {"category": "data", "deletes": "lose"}"#,
            .unknownManifestWord(word: "lose", place: "tables.t.deletes", allowed: ["keep", "win"])
        ),
        Contradiction(
            sql: "CREATE TABLE t(\(key));",
            entry: #""t": {"category": "data", "appendOnly": "yes"}"#,
            .unreadableManifest(reason: "wrong type at tables.t.appendOnly")
        ),
        Contradiction(sql: "", entry: #""t": {"#, .unreadableManifest(reason: "it is not JSON")),
    ]

    @Test("a contradiction is an error that names it", arguments: Self.tables + Self.keys + Self.others)
    func contradiction(_ contradiction: Contradiction) {
        #expect(throws: contradiction.error) {
            try SchemaText.read(contradiction.sql, entry: contradiction.entry)
        }
    }

    @Test("a table beside the manifest stays local")
    func localTable() throws {
        let tables = try SchemaText.read(
            "CREATE TABLE t(\(Self.key)); CREATE TABLE notes(id INTEGER PRIMARY KEY);",
            entry: #""t": {"category": "data"}"#
        )
        #expect(tables.tables.map(\.name) == ["t"])
    }

    @Test("a generated column is not replicated, and nothing else is wrong with it")
    func generatedColumn() throws {
        let tables = try SchemaText.read(
            "CREATE TABLE t(\(Self.key), a, g AS (a + 1), b);",
            entry: #""t": {"category": "data"}"#
        )
        #expect(tables["t"]?.columns.map(\.name) == ["id", "a", "b"])
    }

    @Test(
        "the predicate of a partial unique index is read",
        arguments: [
            ("(a) WHERE b IS NOT NULL", "b IS NOT NULL"),
            ("(a)\nwhere (b = 'where' or b = \"a\")", "(b = 'where' or b = \"a\")"),
            ("(\"a\" /* where */) -- where\n WHERE \"b\" > 1", "\"b\" > 1"),
        ]
    )
    func partialIndex(definition: String, predicate: String) throws {
        let tables = try SchemaText.read(
            "CREATE TABLE t(\(Self.key), a, b); CREATE UNIQUE INDEX \"where\" ON t\(definition);",
            entry: #""t": {"category": "data", "duplicates": {"a": "null"}}"#
        )
        #expect(tables["t"]?.uniqueKeys.map(\.predicate) == [predicate])
    }
}
