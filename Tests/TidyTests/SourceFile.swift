import Foundation

/// A Swift file of the repository, with the parts that the house rules check.
struct SourceFile {
    /// A function and its place.
    struct Function {
        var start: Int
        var lines: Int
    }

    /// The path from the root of the repository.
    let path: String
    /// The lines.
    let lines: [String]

    init(path: String, text: String) {
        self.path = path
        self.lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    /// The root of the repository; this file is Tests/TidyTests/SourceFile.swift.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Every Swift file in the given folders except generated files, in the order of their paths.
    static func all(in folders: [String]) throws -> [SourceFile] {
        let root = self.root
        var paths: [String] = []
        for folder in folders {
            let url = root.appending(path: folder)
            guard let found = FileManager.default.enumerator(atPath: url.path(percentEncoded: false)) else {
                continue
            }
            for case let name as String in found where name.hasSuffix(".swift") && !name.hasSuffix(".pb.swift") {
                paths.append("\(folder)/\(name)")
            }
        }
        return try paths.sorted().map { path in
            let text = try String(contentsOf: root.appending(path: path), encoding: .utf8)
            return SourceFile(path: path, text: text)
        }
    }

    /// The modules that the file imports.
    var imports: [String] {
        self.lines.compactMap { line in
            var words = line.split(separator: " ").map(String.init)
            guard let index = words.firstIndex(of: "import"), index <= 2, !line.hasPrefix("//") else { return nil }
            words.removeFirst(index + 1)
            let kinds: Set<String> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
            if let first = words.first, kinds.contains(first) { words.removeFirst() }
            return words.first?.split(separator: ".").first.map(String.init)
        }
    }

    /// The lines with their numbers, without comments.
    var code: [(number: Int, line: String)] {
        self.lines.enumerated().compactMap { index, line in
            let code = line.range(of: "//").map { String(line[..<$0.lowerBound]) } ?? line
            return code.allSatisfy(\.isWhitespace) ? nil : (index + 1, code)
        }
    }

    /// The functions and initialisers, by the indentation that the formatter guarantees.
    var functions: [Function] {
        var functions: [Function] = []
        for (index, line) in self.lines.enumerated() where Self.beginsFunction(line) {
            let indentation = line.prefix { $0 == " " }
            if line.hasSuffix("}") {
                functions.append(Function(start: index + 1, lines: 1))
            } else if let end = self.lines[index...].firstIndex(of: indentation + "}") {
                functions.append(Function(start: index + 1, lines: end - index + 1))
            }
        }
        return functions
    }

    private static func beginsFunction(_ line: String) -> Bool {
        let words = line.prefix { $0 != "(" }.split(separator: " ")
        guard !line.contains("//"), let last = words.last else { return false }
        return words.contains("func") || last == "init" || last == "init?" || last == "deinit"
    }
}
