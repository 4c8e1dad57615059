import Testing

/// No type grows beyond what one person can keep in mind.
@Suite("The sizes of types")
struct TypeSizeTests {
    /// Lines of a type in all its extensions.
    private static let linesMax = 600
    /// Stored properties of a type.
    private static let storedPropertiesMax = 12

    /// Records, whose stored properties are not counted: their fields are named by somebody else, or are settings that
    /// have nothing to do with one another.
    private static let records: Set<String> = [
        // JSON documents, whose keys docs/API.md fixes.
        "ConflictSummary", "NodeEvent", "NodeStatus",
        // A row of a table; a table as DDL and manifest describe it.
        "SessionRow", "TableDefinition",
        // Limits and settings.
        "CoreConfiguration", "SimulationOptions", "StoreLimits", "TransportLimits", "WireLimits",
        // A message, whose fields docs/PROTOCOL.md fixes.
        "Hello",
    ]

    /// What a type comes to over all its parts.
    private struct Size {
        var lines = 0
        var storedProperties = 0
    }

    private static func measured() throws -> [String: Size] {
        var sizes: [String: Size] = [:]
        for file in try SourceFile.all(in: ["Sources"]) {
            for part in TypeOutline(of: file).parts {
                sizes[part.name, default: Size()].lines += part.lines
                sizes[part.name, default: Size()].storedProperties += part.storedProperties
            }
        }
        return sizes
    }

    @Test("no type has more than 600 lines in all its extensions, or more than 12 stored properties")
    func sizes() throws {
        let sizes = try TypeSizeTests.measured()
        #expect(sizes.count > 300)
        for (name, size) in sizes.sorted(by: { $0.key < $1.key }) {
            #expect(size.lines <= TypeSizeTests.linesMax, "\(name) has \(size.lines) lines")
            guard !TypeSizeTests.records.contains(name) else { continue }
            #expect(
                size.storedProperties <= TypeSizeTests.storedPropertiesMax,
                "\(name) has \(size.storedProperties) stored properties"
            )
        }
        for name in TypeSizeTests.records.sorted() {
            let stored = sizes[name]?.storedProperties ?? 0
            #expect(stored > TypeSizeTests.storedPropertiesMax, "\(name) needs no exception: take it off the list")
        }
    }

    @Test("lines and stored properties are counted as they are meant")
    func selfTest() {
        let text = """
            /// A brace in a comment {
            package struct A: B {
                static let x = 1
                @Option(help: "}") var first = 1
                private(set) var second: Int, isThird: Bool
                let closure: () -> Void = {
                    let local = 1
                }
                var computed: Int { 1 == 2 ? 3 : 4 }
                var alsoComputed: Bool {
                    let local = "{ \\(self.first) {"
                    return local == "}"
                }

                struct Nested {
                    var inner = 1
                }
            }

            extension A.Nested {
                func f() {}
            }

            private enum C {}
            protocol D {
                var y: Int { get }
            }
            """
        let outline = TypeOutline(of: SourceFile(path: "A.swift", text: text))
        #expect(
            outline.parts == [
                .init(name: "A", isExtension: false, lines: 17, storedProperties: 3),
                .init(name: "A", isExtension: true, lines: 3, storedProperties: 0),
                .init(name: "C", isExtension: false, lines: 1, storedProperties: 0),
            ]
        )
        #expect(outline.declared == ["A", "D"])
        #expect(outline.hidden == ["C", "Nested"])
    }
}
