import Foundation
import Testing

/// Checks that the documents agree with the repository.
@Suite("The documents")
struct DocumentTests {
    @Test("links lead to files that exist, and to headings that they have")
    func links() throws {
        let documents = try DocumentTests.documents()
        #expect(documents.count >= 8)
        for (path, text) in documents {
            let folder = SourceFile.root.appending(path: path).deletingLastPathComponent()
            for target in DocumentTests.links(in: text) where !target.contains("://") {
                let parts = target.split(separator: "#", omittingEmptySubsequences: false).map(String.init)
                let file =
                    parts[0].isEmpty ? SourceFile.root.appending(path: path) : folder.appending(path: parts[0])
                let name = file.standardized.path(percentEncoded: false)
                #expect(FileManager.default.fileExists(atPath: name), "\(path) links to \(target)")
                guard parts.count == 2, parts[1] != "", name.hasSuffix(".md") else { continue }
                let headings = DocumentTests.headings(in: try String(contentsOf: file, encoding: .utf8))
                #expect(headings.contains(parts[1]), "\(path) links to \(target)")
            }
        }
    }

    @Test("paths of the repository that documents name exist")
    func paths() throws {
        let roots = ["Sources/", "Tests/", "schema/", "docs/", ".ci/"]
        for (path, text) in try DocumentTests.documents() where path != "CHANGELOG.md" {
            for code in DocumentTests.spans(in: text) where roots.contains(where: { code.hasPrefix($0) }) {
                // A pattern or a list is not a path.
                guard code.allSatisfy({ $0.isLetter || $0.isNumber || "/._-+".contains($0) }) else { continue }
                guard !code.contains("mNNNN") else { continue }
                let file = SourceFile.root.appending(path: code).path(percentEncoded: false)
                #expect(FileManager.default.fileExists(atPath: file), "\(path) names \(code)")
            }
        }
    }

    @Test("every command in a code block of the README exists")
    func commands() throws {
        let text = try String(contentsOf: SourceFile.root.appending(path: "README.md"), encoding: .utf8)
        let known = try DocumentTests.commandNames()
        #expect(known.isSuperset(of: ["init", "run", "status", "bench"]))
        var used: [String] = []
        for line in DocumentTests.codeLines(in: text) {
            let words = line.prefix { $0 != "#" }.split(separator: " ").map(String.init)
            if words.first == "clinic-node", words.count > 1 { used.append(words[1]) }
            if let script = words.first, script.hasPrefix("./") {
                let file = SourceFile.root.appending(path: String(script.dropFirst(2))).path(percentEncoded: false)
                #expect(FileManager.default.isExecutableFile(atPath: file), "README.md runs \(script)")
            }
        }
        #expect(used.count >= 8)
        for command in used { #expect(known.contains(command), "README.md runs clinic-node \(command)") }
    }

    // MARK: - Reading

    /// The Markdown files of the repository with their paths.
    private static func documents() throws -> [(path: String, text: String)] {
        var paths = ["README.md", "CHANGELOG.md"]
        for folder in ["docs", "schema"] {
            let url = SourceFile.root.appending(path: folder)
            guard let found = FileManager.default.enumerator(atPath: url.path(percentEncoded: false)) else { continue }
            for case let name as String in found where name.hasSuffix(".md") { paths.append("\(folder)/\(name)") }
        }
        return try paths.sorted().map { path in
            (path, try String(contentsOf: SourceFile.root.appending(path: path), encoding: .utf8))
        }
    }

    /// The names of the registered commands, from the root command's list.
    private static func commandNames() throws -> Set<String> {
        let files = try SourceFile.all(in: ["Sources/clinic-node"])
        let registered = Set(
            files.flatMap(\.lines).flatMap { line in line.matches(of: /([A-Za-z]+)\.self/).map { String($0.1) } }
        )
        var names: Set<String> = []
        for file in files {
            var type = ""
            for line in file.lines {
                if let match = line.firstMatch(of: /^struct ([A-Za-z]+):/) { type = String(match.1) }
                guard registered.contains(type), let match = line.firstMatch(of: /commandName: "([a-z]+)"/) else {
                    continue
                }
                names.insert(String(match.1))
            }
        }
        return names
    }

    private static func links(in text: String) -> [String] {
        text.matches(of: /\]\(([^)\s]+)\)/).map { String($0.1) }
    }

    /// The texts between backquotes.
    private static func spans(in text: String) -> [String] {
        text.matches(of: /`([^`\n]+)`/).map { String($0.1) }
    }

    /// The lines of code blocks.
    private static func codeLines(in text: String) -> [String] {
        var isCode = false
        return text.split(separator: "\n").compactMap { line in
            if line.hasPrefix("```") {
                isCode.toggle()
                return nil
            }
            return isCode ? String(line) : nil
        }
    }

    /// The anchors of the headings.
    private static func headings(in text: String) -> Set<String> {
        Set(
            text.split(separator: "\n").filter { $0.hasPrefix("#") }.map { line in
                line.drop { $0 == "#" || $0 == " " }.lowercased()
                    .filter { $0.isLetter || $0.isNumber || $0 == " " || $0 == "-" }.replacing(" ", with: "-")
            }
        )
    }
}
