import Foundation
import Testing

/// The parts of the sources refer to one another as docs/ARCHITECTURE.md draws it.
///
/// The compiler holds the arrows between modules, as far as Package.swift grants no more than is drawn. Between folders
/// of one module only this test does, by names of types. Names that follow a point, and names that the part uses for a
/// nested type of its own, are left out.
@Suite("The arrows of the architecture")
struct ArrowTests {
    /// A reference of one part to another, and where it stands.
    private struct Reference {
        var from: String
        var to: String
        var place: String
    }

    /// A file, its part and its types.
    private struct Entry {
        var file: SourceFile
        var part: String
        var outline: TypeOutline
    }

    private static let folder = "Sources/ClinicSync/"

    @Test("every arrow that is drawn points down, so that no circle can be")
    func down() throws {
        let drawing = try Drawing.read()
        #expect(drawing.parts.count >= 10)
        #expect(drawing.rising == [])
    }

    @Test("the drawing has every folder")
    func folders() throws {
        let names = try Drawing.read().names
        for file in try SourceFile.all(in: ["Sources/ClinicSync"]) {
            let path = file.path.dropFirst(ArrowTests.folder.count)
            // Files beside the folders are for all of them, and refer to none.
            guard let folder = path.split(separator: "/").first, path.contains("/") else { continue }
            #expect(names.contains(String(folder)), "docs/ARCHITECTURE.md draws no \(folder), where \(file.path) is")
        }
    }

    @Test("the sources refer as the drawing allows, and every arrow of the drawing is needed")
    func drawn() throws {
        let drawing = try Drawing.read()
        let references = try ArrowTests.references(between: drawing.names)
        let drawn = drawing.arrows
        for reference in references where !drawn.contains("\(reference.from) ──► \(reference.to)") {
            Issue.record("\(reference.place): \(reference.from) must not refer to \(reference.to)")
        }
        let needed = Set(references.map { "\($0.from) ──► \($0.to)" })
        #expect(drawn.subtracting(needed).sorted() == [], "arrows that no file needs")
    }

    @Test("an arrow is seen where there is one")
    func selfTest() {
        func entry(_ part: String, _ text: String) -> Entry {
            let file = SourceFile(path: "Sources/ClinicSync/\(part)/A.swift", text: text)
            return Entry(file: file, part: part, outline: TypeOutline(of: file))
        }
        let entries = [
            entry("Security", "struct Key {}\nstruct Lock { struct Bolt {} }"),
            entry("Transport", "import ClinicSyncWire\n/// Key\nlet a = \"Key\"\nlet b = x.Key\nlet c: Lock.Bolt"),
            entry("LocalAPI", "struct Page {\n    enum Key {}\n}\nlet key: Key\nlet text = \"\\(Lock.self)\""),
        ]
        let found = ArrowTests.references(in: entries, modules: ["Wire"])
        let texts = found.map { "\($0.from) ──► \($0.to) at \($0.place)" }
        #expect(
            texts == [
                "Transport ──► Wire at Sources/ClinicSync/Transport/A.swift:1",
                "Transport ──► Security at Sources/ClinicSync/Transport/A.swift:5 (Lock)",
                "LocalAPI ──► Security at Sources/ClinicSync/LocalAPI/A.swift:5 (Lock)",
            ]
        )
        let drawing = Drawing(of: "```\nA ──► B, C\nB ──► C\nC ──► A\n```\nD ──► A")
        #expect(drawing.arrows == ["A ──► B", "A ──► C", "B ──► C", "C ──► A"])
        #expect(drawing.rising == ["C ──► A"])
    }

    // MARK: - References

    /// All references between the parts of these names, in the order of the files.
    private static func references(between parts: Set<String>) throws -> [Reference] {
        var entries: [Entry] = []
        for file in try SourceFile.all(in: ["Sources/ClinicSync"]) {
            let path = file.path.dropFirst(self.folder.count)
            let candidates = parts.filter { path.hasPrefix($0 + "/") }
            guard let part = candidates.max(by: { $0.count < $1.count }) else { continue }
            entries.append(Entry(file: file, part: part, outline: TypeOutline(of: file)))
        }
        return self.references(in: entries, modules: try self.modules())
    }

    private static func references(in entries: [Entry], modules: Set<String>) -> [Reference] {
        func module(of part: String) -> String {
            let first = part.split(separator: "/").first.map(String.init) ?? part
            return modules.contains(first) ? first : ""
        }
        var homes: [String: [String: String]] = [:]
        var hidden: [String: Set<String>] = [:]
        for entry in entries {
            for name in entry.outline.declared { homes[module(of: entry.part), default: [:]][name] = entry.part }
            hidden[entry.part, default: []].formUnion(entry.outline.hidden)
        }
        var references: [Reference] = []
        for entry in entries {
            let home = module(of: entry.part)
            for imported in entry.file.imports where imported.hasPrefix("ClinicSync") {
                let to = String(imported.dropFirst("ClinicSync".count))
                // Which folder of another module a file refers to is not looked at.
                guard modules.contains(to) else { continue }
                let number = (entry.file.lines.firstIndex { $0.contains("import \(imported)") } ?? 0) + 1
                let from = home.isEmpty ? entry.part : home
                references.append(Reference(from: from, to: to, place: "\(entry.file.path):\(number)"))
            }
            for (name, number) in entry.outline.used.sorted(by: { $0.value < $1.value }) {
                guard let to = homes[home]?[name], to != entry.part, hidden[entry.part]?.contains(name) != true else {
                    continue
                }
                references.append(
                    Reference(from: entry.part, to: to, place: "\(entry.file.path):\(number) (\(name))")
                )
            }
        }
        return references
    }

    /// The folders that are modules of their own, as Package.swift has it.
    private static func modules() throws -> Set<String> {
        let text = try String(contentsOf: SourceFile.root.appending(path: "Package.swift"), encoding: .utf8)
        return Set(text.matches(of: /path: "Sources\/ClinicSync\/([A-Za-z]+)"/).map { String($0.1) })
    }
}
